/** `wkdump boot`: the main job. */
import { currentHost } from "../../runtime/adapter/index.ts";
import type { Terminal } from "../../runtime/adapter/terminal.ts";
import { type BootResult, boot, prepare } from "../../runtime/index.ts";
import { readAsset } from "../assets.ts";
import { join } from "../collector/binary.ts";
import { COLLECTOR_ASSETS, collectorPrograms } from "../collector/collect.ts";
import { CollectorError } from "../collector/error.ts";
import { checkCollector } from "../collector/run.ts";
import { SystemMap } from "../crashed/system-map.ts";
import { truthText, Witness } from "../fixtures/witness.ts";
import { CommandError } from "../flags.ts";
import { CRASH_TYPES } from "../init/crashes.ts";
import { machinePrograms } from "../init/programs.ts";
import { withCoreCollector } from "../initrd/capture.ts";
import { Complaints } from "./complaints.ts";
import { parseBootFlags, withRoom } from "./options.ts";
import { openOut } from "./out.ts";
import { report } from "./report.ts";
import { Story } from "./story.ts";

/** A line a type; those that lead to no crash by themselves say so. */
function crashTypes(): string {
  const width = Math.max(...CRASH_TYPES.map(({ name }) => name.length));
  return CRASH_TYPES.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join("\n");
}

export const HELP = `wkdump boot - power on, load the capture kernel, crash, capture, save

Usage: wkdump boot [FLAGS]        (in a checkout: npm run boot -- [FLAGS])

Shows the kernels' console with the time of each phase, and leaves the dump in
OUT/127.0.0.1-YYYY-MM-DD-HH:MM:SS/vmcore with vmcore-dmesg.txt beside it. The
file has holes where memory held zeros.

  --memory SIZE     the machine's memory, 4M to 4G in multiples of 64K (64M)
  --cpus N          so many CPUs, 1 to 8, each on a thread of its own, one at a
                    time: who is next is random, or decided by the seed (1)
  --append "WORDS"  kernel command line; a word given here takes the place of
                    the default of the same name: console=ttyS0 and a
                    crashkernel= that fits the memory
  --crash TYPE      how to crash, from the list below (sysrq-c)
  --seed N          clock and randomness from this number: the same seed gives
                    the same vmcore, byte for byte, on every engine
  --out DIR         the machine's /var/crash (./var/crash)
  --format FORMAT   how the capture kernel saves the dump: elf, kdump (makedumpfile's
                    compressed format), or flattened, that as the stream of
                    makedumpfile -F, in vmcore.flat (elf)
  --level N         what makedumpfile leaves out, the sum of 1 zeros, 2 page cache,
                    4 private page cache, 8 user pages, 16 free pages (0)
  --compression C   of kdump and flattened: lzo, zlib, snappy, zstd, none (lzo)
  --collector FILE  a WebAssembly component that saves the dump instead, in a form of its
                    own (wkdump collect --help); the crash region is larger then
  --collector-args "WORDS"
                    the arguments that it gets
  --poweron FILL    what memory holds at power-on: zero, or random (zero)
  --fill PERCENT    have so much of memory in use, by text, zeros and random data in
                    files, on a RAM disk and in anonymous memory (a little of each);
                    with --swap, of memory and swap area together
  --mix cache=N,cache_private=N,user=N,kernel=N
                    of what kinds that is, as weights: page cache of files, of a
                    RAM disk, anonymous memory, and what a dump level never leaves
                    out, the kernel's own: a RAM disk's pages (as much of the first
                    three, none of the kernel's)
  --pages hugepages=N,hwpoison=N,offline=N
                    huge pages of 2 MiB in the pool, pages with a hardware error,
                    pages given back to the host (none)
  --swap SIZE       a swap area of so much, on a RAM disk, from 40K to half of the
                    memory; anonymous pages go there when memory is short (none)
  --workload N      before the crash have tasks do so many operations on files,
                    pipes and children; some stay behind, asleep or running (0)
  --modules NAME[,NAME]
                    load these kernel modules first: crasher (none)
  --debug-kernel    a kernel that keeps the arguments of its functions in memory, for
                    debuggers; the dump goes with OUT/vmlinux-debug
  --inject 'phys=ADDR,xor=BYTE,at=POINT'
                    change a byte of memory: at=panic, on the way into purgatory;
                    purgatory, on the way out; capture, when the capture kernel
                    runs its first program. May be given several times
  --stop-at purgatory --save-memory FILE
                    stop at the jump into purgatory and save the machine's
                    memory; wkdump capture FILE goes on from there
  --truth FILE      what is true of the dump, as JSON, from the machine itself: tasks,
                    open files, pages by class and dump level, slabs, log, call chains
  --json            one JSON object on stdout and nothing else
  --quiet           print only where the dump is
  --help            print this text

Sizes and addresses are written as Linux writes them: 64M, 1G, 0x400000.

Crash types:
${crashTypes()}
module-* are written to /proc/crasher, a file of the module crasher, which is
loaded then; its parameters are given as --append crasher.delay_ms=500. All others
but the first two are Linux's own (drivers/misc/lkdtm), written to
/sys/kernel/debug/provoke-crash/DIRECT. So that an oops is a crash, and not
only the end of the process that wrote, oops=panic is on the command line then,
panic_on_warn=1 for a warning, and for what the watchdogs find softlockup_panic=1,
nmi_watchdog=panic and hung_task_panic=1; --append oops=kill and --append panic_on_warn=0 show what
comes without.

Exit status:
  0  the dump was saved (with --crash none: the machine powered off)
  1  it was not; the reason is on standard error
  2  wrong usage
`;

/** The component's bytes, when there is one: a mistake in it would else show after the crash only. */
async function readComponent(terminal: Terminal, file: string | undefined): Promise<Uint8Array | null> {
  if (file === undefined) return null;
  for (const name of COLLECTOR_ASSETS) readAsset(terminal, name);
  const pieces: Uint8Array[] = [];
  for (const piece of terminal.readChunks(file)) pieces.push(piece.slice());
  const component = join(pieces);
  try {
    await checkCollector(currentHost(), collectorPrograms(terminal), component);
  } catch (error) {
    if (!(error instanceof CollectorError)) throw error;
    throw new CommandError(`${file}: ${error.message}`);
  }
  return component;
}

export async function run(terminal: Terminal, args: readonly string[]): Promise<number> {
  const flags = parseBootFlags(args);
  const host = currentHost();
  const image = readAsset(terminal, flags.debugKernel ? "vmlinuz-debug" : "vmlinuz");
  // While engine threads are at that, the rest is made ready, and later the first kernel runs.
  const prepared = prepare(image, host);
  const initrd = readAsset(terminal, flags.debugKernel ? "initrd-debug.img" : "initrd.img");
  void prepare(initrd, host);
  // Checked, though it is a thread that reads it.
  if (flags.cpus > 1) readAsset(terminal, "cpu.js");
  const component = await readComponent(terminal, flags.dump.collector);
  const hostfs = openOut(flags.out);
  const truthFile = flags.truth === undefined ? undefined : terminal.createFile(flags.truth);
  const snapshot = flags.saveMemory === undefined ? undefined : terminal.createFile(flags.saveMemory);
  const symbols = (): SystemMap =>
    SystemMap.parse(readAsset(terminal, flags.debugKernel ? "System.map-debug" : "System.map"));
  const witness = truthFile === undefined ? undefined : new Witness(flags, symbols);
  const silent = flags.json || flags.quiet;
  const story = silent ? undefined : new Story(terminal, () => host.monotonic_ms());
  const complaints = new Complaints();
  let result: BootResult;
  try {
    result = await boot({
      image,
      initrd: withCoreCollector(initrd, flags.dump.core_collector, component),
      prepared,
      memory: flags.memory,
      cpus: flags.cpus,
      ...(flags.cpus > 1 ? { cpuProgram: terminal.assetUrl("cpu.js") } : {}),
      cmdline:
        component !== null && flags.usualCrashkernel
          ? withRoom(flags.cmdline, component.length)
          : flags.cmdline,
      ...(flags.seed === undefined ? {} : { seed: flags.seed }),
      powerOnFill: flags.powerOnFill,
      console: (bytes) => {
        complaints.console(bytes);
        story?.console(bytes);
        witness?.console(bytes);
      },
      hostfs,
      host,
      programs: witness?.programs(machinePrograms()) ?? machinePrograms(),
      inject: flags.inject,
      ...(flags.stopAt === undefined ? {} : { stopAt: flags.stopAt }),
      saveMemory: (pieces) => {
        for (const piece of pieces) snapshot?.write(piece);
        snapshot?.finish();
      },
      onPhase: (phase, machine) => {
        story?.phase(phase);
        witness?.phase(phase, machine);
      },
    });
    if (witness?.truth !== undefined) {
      truthFile?.write(new TextEncoder().encode(truthText(witness.truth)));
      truthFile?.finish();
    }
  } finally {
    story?.end();
    snapshot?.discard();
    truthFile?.discard();
  }
  const wanted = flags.stopAt !== undefined ? "stopped" : flags.crash === "none" ? "powered-off" : "captured";
  return report(terminal, result, wanted, {
    ...flags,
    complaint: complaints.text,
    hostfs,
    snapshot: flags.saveMemory,
    symbols,
    vmlinux: flags.debugKernel ? "vmlinux-debug" : "vmlinux",
  });
}
