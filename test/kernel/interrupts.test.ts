/**
 * Interrupts, time and NMIs in the whole machine: production's kernel, in which sysrq c does what the command
 * line's do= says.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { currentHost, MemoryFs } from "../../runtime/adapter/index.ts";
import { type BootResult, boot, type Machine } from "../../runtime/index.ts";
import { makeCpio } from "../../tools/initrd/cpio.ts";
import { sysrqKernel } from "../support/sysrq-kernel.ts";

const TIMERS = 300;
const SOURCE = `
import { apic_send_nmi } from "../../arch/kernel/apic";
import { this_cpu } from "../../include/generated/symbols";
import { hlist_node, timer_list } from "../../include/generated/structs";
import { simple_strtoul, strstr } from "../../lib/string";
import { local_irq_disable, local_irq_enable } from "../../kernel/irqflags";
import { ktime_get, mdelay } from "../../kernel/time";
import { add_timer, del_timer_sync, mod_timer, timer_pending, timer_setup } from "../../kernel/time/timer";
import { kmalloc, kzalloc } from "../../mm/slub";

function spin(n: u32): u32 {
  let sum: u32 = 0;
  for (let i: u32 = 0; i < n; i++) { sum = sum * 1103515245 + 12345; store<u32>(sym.boot_command_line, sum); }
  return sum;
}
function spin_until(jiffies: u64): void { while (<i64>(sym.jiffies_64 - jiffies) < 0) spin(100); }
function fatal(timer: timer_list): void { store<u64>(pa(0x10), 1); }
function log_nothing(timer: timer_list): void { return; }

/** Each timer: a record behind it of when it was to fire and when it did. */
function fired(timer: timer_list): void {
  const at = changetype<usize>(timer) + timer_list.SIZE;
  store<u64>(at, sym.jiffies_64, 8);
  store<u32>(at, load<u32>(at, 16) + 1, 16);
}
function random(state: usize): u32 {
  let x = load<u32>(state);
  x ^= x << 13; x ^= x >> 17; x ^= x << 5;
  store<u32>(state, x);
  return x;
}
function wheel(): void {
  const size = timer_list.SIZE + 24;
  const pool = kzalloc(size * ${TIMERS}, 0xcc0);
  const state = kmalloc(8, 0xcc0);
  store<u32>(state, 2463534242);
  const start = sym.jiffies_64;
  for (let i: usize = 0; i < ${TIMERS}; i++) {
    const t = changetype<timer_list>(pool + i * size);
    timer_setup(t, fnptr(fired));
    const kind = random(state) % 4;
    const width = kind == 0 ? 10 : kind == 1 ? 100 : kind == 2 ? 900 : 3000;
    t.expires = sym.jiffies_64 + random(state) % width;
    add_timer(t);
    if (i % 5 == 1) mod_timer(t, sym.jiffies_64 + random(state) % 2000);
    if (i % 7 == 3) del_timer_sync(t);
    if (i % 11 == 0) spin(random(state) % 30000);
    store<u64>(pool + i * size + timer_list.SIZE, t.expires);
  }
  spin_until(start + 4000);
  let early = 0, late = 0, missing = 0, deleted = 0, good = 0;
  for (let i: usize = 0; i < ${TIMERS}; i++) {
    const at = pool + i * size + timer_list.SIZE;
    const count = load<u32>(at, 16);
    if (i % 7 == 3) { if (count == 0) deleted++; continue; }
    if (count != 1 || timer_pending(changetype<timer_list>(pool + i * size))) { missing++; continue; }
    const delay = <i64>(load<u64>(at, 8) - load<u64>(at));
    // The third level's buckets are 64 jiffies wide.
    if (delay < 0) early++;
    else if (delay > 64 + 2) late++;
    else good++;
  }
  pr_info(c\`wheel: early %d late %d missing %d deleted %d good %d\\n\`, early, late, missing, deleted, good);
}

function act(kind: u32): void {
  if (kind == 1) for (;;) spin(1000);
  else if (kind == 2) { local_irq_disable(); for (;;) spin(1000); }
  else if (kind == 3) {
    const t = changetype<timer_list>(kzalloc(timer_list.SIZE, 0xcc0));
    timer_setup(t, fnptr(fatal));
    mod_timer(t, sym.jiffies_64 + 3);
    for (;;) spin(1000);
  } else if (kind == 4) wheel();
  else if (kind == 5) {
    const from = sym.jiffies_64;
    const start = ktime_get();
    mdelay(50);
    const on = sym.jiffies_64 - from;
    local_irq_disable();
    mdelay(50);
    const off = sym.jiffies_64 - from - on;
    local_irq_enable();
    spin(1000);
    const both = sym.jiffies_64 - from;
    const ms = (ktime_get() - start) / 1000000;
    pr_info(c\`time: on %d off %d both %d ms %d\\n\`, on, off, both, ms);
    const many = this_cpu.irq_stat.apic_timer_irqs > 5;
    pr_info(c\`irqs: %s count %x\\n\`, many ? c\`many\` : c\`few\`, this_cpu.__preempt_count);
  } else if (kind == 6) { apic_send_nmi(0); spin(10); pr_info(c\`after the NMI\\n\`); }
  else if (kind == 7) {
    local_irq_disable();
    apic_send_nmi(0);
    spin(10);
    pr_info(c\`flags %d\\n\`, this_cpu.hardirqs_enabled);
  }
  else if (kind == 8) { sym.unknown_nmi_panic = 1; apic_send_nmi(0); for (;;) spin(1000); }
  else if (kind == 9) mdelay(20000);
}
`;

interface Ran {
  text: string;
  result: BootResult;
}

describe("interrupts", () => {
  let image: Uint8Array;

  beforeAll(async () => {
    const call = "act(simple_strtoul(strstr(sym.saved_command_line, c`do=`) + 3, 0, 10) as u32);";
    image = await sysrqKernel(call, SOURCE);
  });

  const run = async (cmdline: string, limit = 60_000, seed: number | null = 1, key = "c"): Promise<Ran> => {
    let text = "";
    const init = { mode: 0o755, contents: "#!program init\n" };
    const result = await boot({
      image,
      initrd: makeCpio({ init }),
      memory: 16 * 1024 * 1024,
      cmdline: `console=ttyS0 ${cmdline}`,
      ...(seed === null ? {} : { seed }),
      limit,
      console: (bytes) => {
        text += new TextDecoder().decode(bytes);
      },
      hostfs: new MemoryFs(),
      host: currentHost(),
      programs: {
        init: async (proc) => {
          const fd = await proc.open("/proc/sysrq-trigger", 1);
          await proc.write(fd, key);
          await proc.reboot(0x4321fedc);
          return 0;
        },
      },
    });
    return { text: text.replace(/^\[ *\d+\.\d+\] /gm, ""), result };
  };

  it.each([
    ["on", "do=1"],
    ["off", "do=2"],
  ])("a kernel that loops for ever with interrupts %s is stopped at the run limit", async (_, what) => {
    for (const seed of [1, null]) {
      const { result } = await run(what, 300, seed);
      expect(result.outcome).toBe("not-captured");
      expect(result.reason).toMatch(/^the machine was stopped: it had run up to its limit/);
    }
  });

  it("a crash in a soft interrupt shows the way there, and is fatal", async () => {
    const { text } = await run("do=3");
    expect(text).toContain("Kernel panic - not syncing: Fatal exception in interrupt\n");
    const names = [...text.slice(text.indexOf("Call Trace:")).matchAll(/^ {1,2}(\w+)\+0x/gm)].map(
      (it) => it[1],
    );
    const chain = ["call_timer_fn", "__run_timers", "run_timer_softirq", "__do_softirq", "irq_exit_rcu"];
    const irq = ["sysvec_apic_timer_interrupt", "asm_sysvec_apic_timer_interrupt"];
    const interrupted = ["spin", "act", "sysrq_handle_crash", "__handle_sysrq"].filter((it) =>
      names.includes(it),
    );
    const rest = ["ksys_write", "do_syscall_64", "entry_SYSCALL_64_after_hwframe"];
    const wanted = [...chain, ...irq, ...interrupted, ...rest];
    expect(interrupted).toContain("__handle_sysrq");
    expect(names.filter((it) => wanted.includes(it as string)).slice(0, wanted.length)).toEqual(wanted);
    // The interrupted code's registers: in kernel mode with interrupts on.
    expect(text).toMatch(/EFLAGS: 00000246/);
  });

  it("timers fire once, never early, and late by their level's width at most", async () => {
    const { text } = await run("do=4");
    const deleted = Array.from({ length: TIMERS }, (_, i) => i % 7 === 3).filter(Boolean).length;
    expect(text).toContain(`wheel: early 0 late 0 missing 0 deleted ${deleted} good ${TIMERS - deleted}\n`);
  });

  it.each([[1], [null]])("the tick counts jiffies, not while interrupts are off (seed %s)", async (seed) => {
    const { text } = await run("do=5", 60_000, seed);
    const [, on, off, both, ms] =
      /time: on (\d+) off (\d+) both (\d+) ms (\d+)/.exec(text)?.map(Number) ?? [];
    // In real time the host may stop the whole machine for a while, at any point.
    const lag = seed === null ? 50 : 2;
    expect(on).toBeGreaterThan(50 - lag);
    expect(off).toBe(0);
    expect(both).toBeGreaterThanOrEqual(99);
    expect(both).toBeLessThanOrEqual((ms ?? 0) + 1);
    if (seed !== null) expect(both).toBeGreaterThanOrEqual((ms ?? 0) - lag);
    expect(text).toContain("irqs: many count 0\n");
  });

  it("an NMI comes whatever the interrupt flag, and leaves it as it was", async () => {
    const dazed = "Uhhuh. NMI received for unknown reason 00 on CPU 0.\n";
    expect((await run("do=6")).text).toMatch(
      new RegExp(`${dazed}[^]*Dazed and confused, but trying to continue\nafter the NMI\n`),
    );
    expect((await run("do=7")).text).toMatch(new RegExp(`${dazed}[^]*flags 0\n`));
  });

  it("unknown_nmi_panic makes it a panic, with the NMI's frames", async () => {
    const { text } = await run("do=8");
    expect(text).toContain("Kernel panic - not syncing: NMI: Not continuing\n");
    const names = [...text.slice(text.indexOf("Call Trace:")).matchAll(/^ {1,2}(\w+)\+0x/gm)].map(
      (it) => it[1],
    );
    const chain = ["panic", "unknown_nmi_error", "default_do_nmi", "exc_nmi", "asm_exc_nmi"];
    expect(names.filter((it) => chain.includes(it as string))).toEqual(chain);
  });

  it("an NMI can be raised from outside", async () => {
    let machine: Machine | undefined;
    let text = "";
    const init = { mode: 0o755, contents: "#!program init\n" };
    await boot({
      image,
      initrd: makeCpio({ init }),
      memory: 16 * 1024 * 1024,
      cmdline: "console=ttyS0",
      seed: 1,
      console: (bytes) => {
        text += new TextDecoder().decode(bytes);
      },
      onPhase: (_, running) => {
        machine = running;
      },
      hostfs: new MemoryFs(),
      host: currentHost(),
      programs: {
        init: async (proc) => {
          machine?.apic.raiseNmi();
          await proc.reboot(0x4321fedc);
          return 0;
        },
      },
    });
    expect(text).toContain("NMI received for unknown reason");
  });

  it("sysrq l shows this CPU's stack", async () => {
    const { text } = await run("do=0", 60_000, 1, "l");
    expect(text).toContain(
      "sysrq: Show backtrace of all active CPUs\nNMI backtrace for cpu 0\nCPU: 0 PID: 1",
    );
  });

  it("waiting costs the machine's time, not the host's", async () => {
    const before = performance.now();
    const { result } = await run("do=9", 60_000);
    expect(result.outcome).toBe("powered-off");
    expect(performance.now() - before).toBeLessThan(5000);
  });
});
