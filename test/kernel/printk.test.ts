/** The log: what printk leaves in memory, read as Linux's tools read it, and what the console shows. */
import { beforeEach, describe, expect, it } from "vitest";
import { type TestMachine, testMachine } from "./printk-machine.ts";

const SOURCE = `
import { log_buf_init, pr_cont, pr_debug, pr_info, pr_warn } from "../kernel/printk/printk";
import { printk, printk_level } from "../kernel/printk/printk";
import { console_trylock, console_unlock, console_setup, console_zap_lock } from "../kernel/printk/console";
import { prb_reserve } from "../kernel/printk/printk_ringbuffer";
import { univ8250_console_init } from "../drivers/tty/serial8250";
import { sym } from "../include/generated/symbols";
export function init(): void { log_buf_init(); }
export function console(): void { univ8250_console_init(); }
export function option(text: usize): void { console_setup(text); }
export function say(text: usize): void { pr_info(c\`%s\\n\`, text); }
export function warn(text: usize): void { pr_warn(c\`%s\\n\`, text); }
export function debug(text: usize): void { pr_debug(c\`%s\\n\`, text); }
export function start(text: usize): void { pr_info(c\`%s\`, text); }
export function cont(text: usize): void { pr_cont(c\`%s\`, text); }
export function end(): void { pr_cont(c\`\\n\`); }
export function prefixed(): void { printk(c\`\\x013level three %d\\n\`, 3); }
export function fill(count: i32, first: i32): void {
  for (let i = first; i < first + count; i++) {
    printk_level(6, c\`message %d %.*s\\n\`, i, (i * 7) % 40, c\`xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\`);
  }
}
export function lock(): i32 { return console_trylock() ? 1 : 0; }
export function unlock(): void { console_unlock(); }
export function zap(): void { console_zap_lock(); }
export function abandon(): void { prb_reserve(sym.prb, 20); }
`;

interface Record {
  seq: number;
  text: string;
  level: number;
  caller: number;
  ns: bigint;
}

/** Reads the ring as makedumpfile does: from tail_id to head_id, finalized and committed ones. */
function readLog(m: TestMachine): Record[] {
  const u64 = (at: number) => m.view.getBigUint64(at, true);
  const prb = m.symbol("printk_rb_static");
  const ring = prb + m.offset("printk_ringbuffer", "desc_ring");
  const text = prb + m.offset("printk_ringbuffer", "text_data_ring");
  const pointer = (at: number) => Number(u64(at) - 0xffffffff80000000n);
  const count = 1 << m.view.getUint32(ring, true);
  const descs = pointer(ring + m.offset("prb_desc_ring", "descs"));
  const infos = pointer(ring + m.offset("prb_desc_ring", "infos"));
  const sizeBits = BigInt(m.view.getUint32(text, true));
  const data = pointer(text + m.offset("prb_data_ring", "data"));
  const mask = (1n << 62n) - 1n;
  const records: Record[] = [];
  const head = u64(ring + m.offset("prb_desc_ring", "head_id")) & mask;
  for (let id = u64(ring + m.offset("prb_desc_ring", "tail_id")) & mask; ; id = (id + 1n) & mask) {
    const index = Number(id % BigInt(count));
    const desc = descs + index * 24;
    const info = infos + index * 88;
    const state = u64(desc);
    if ((state & mask) === id && (state >> 62n === 1n || state >> 62n === 2n)) {
      const [begin, next] = [u64(desc + 8), u64(desc + 16)];
      const wrapped = begin >> sizeBits !== next >> sizeBits;
      const at = data + Number(wrapped ? 0n : begin & ((1n << sizeBits) - 1n));
      expect(u64(at)).toBe(id);
      const bits = m.view.getUint8(info + m.offset("printk_info", "facility") + 1);
      const length = m.view.getUint16(info + m.offset("printk_info", "text_len"), true);
      records.push({
        seq: Number(u64(info)),
        text: String.fromCharCode(...m.memory.slice(at + 8, at + 8 + length)),
        level: bits >> 5,
        caller: m.view.getUint32(info + m.offset("printk_info", "caller_id"), true),
        ns: u64(info + m.offset("printk_info", "ts_nsec")),
      });
    }
    if (id === head) return records;
  }
}

describe("printk", () => {
  let m: TestMachine;
  const call = (name: string, ...args: number[]) => (m.kernel[name] as (...a: number[]) => number)(...args);
  const say = (text: string, how = "say") => call(how, m.text(text));

  beforeEach(async () => {
    m = await testMachine(SOURCE);
    call("init");
  });

  it("keeps records with number, level, time and caller", () => {
    say("one");
    m.setTime(2_500_000_000n);
    say("two", "warn");
    call("prefixed");
    expect(readLog(m)).toEqual([
      { seq: 0, text: "one", level: 6, caller: 0x80000000, ns: 1_000_000_000n },
      { seq: 1, text: "two", level: 4, caller: 0x80000000, ns: 2_500_000_000n },
      { seq: 2, text: "level three 3", level: 3, caller: 0x80000000, ns: 2_500_000_000n },
    ]);
  });

  it.each([1, 10, 127, 128, 129, 500, 3000])(
    "keeps the newest of %i messages when the rings wrap",
    (count) => {
      call("fill", count, 0);
      const records = readLog(m);
      expect(records.length).toBeGreaterThan(Math.min(count, 40) - 1);
      const first = count - records.length;
      expect(records.map((r) => r.seq)).toEqual(records.map((_, i) => first + i));
      expect(records.map((r) => r.text)).toEqual(
        records.map((_, i) => `message ${first + i} ${"x".repeat(((first + i) * 7) % 40)}`),
      );
    },
  );

  it("continues a line until its newline, also over the end of the text ring", () => {
    for (let i = 0; i < 40; i++) {
      call("fill", 1 + (i % 5), 0);
      say(`line ${i}: `, "start");
      for (let j = 0; j < 10; j++) say(`part${j} `, "cont");
      call("end");
      expect(readLog(m).at(-1)?.text).toBe(
        `line ${i}: part0 part1 part2 part3 part4 part5 part6 part7 part8 part9 `,
      );
    }
  });

  it("cuts a line at the longest that Linux keeps", () => {
    say("y".repeat(3000));
    expect(readLog(m).at(-1)?.text).toBe("y".repeat(991));
  });

  it("goes on when a record is never finished", () => {
    say("before");
    call("abandon");
    say("after");
    expect(readLog(m).map((r) => r.text)).toEqual(["before", "after"]);
  });

  it("prints what came before the console, then goes on", () => {
    say("early");
    expect(m.output()).toBe("");
    call("console");
    say("late");
    say("hidden", "debug");
    expect(m.output()).toBe(
      "[    1.000000] early\n[    1.000000] printk: console [ttyS0] enabled\n[    1.000000] late\n",
    );
  });

  it("prefixes every line of a record", () => {
    call("console");
    say("a\nb");
    expect(m.output()).toContain("[    1.000000] a\n[    1.000000] b\n");
  });

  it("leaves a console alone that console= does not name", () => {
    call("option", m.text("ttyS1"));
    call("console");
    say("x");
    expect(m.output()).toBe("");
  });

  it("prints after the lock's holder has gone, each record once", () => {
    call("console");
    expect(call("lock")).toBe(1);
    say("waiting");
    expect(m.output()).not.toContain("waiting");
    call("zap");
    say("next");
    expect(m.output().match(/waiting/g)).toHaveLength(1);
    expect(m.output()).toMatch(/waiting\n.*next\n$/);
  });
});
