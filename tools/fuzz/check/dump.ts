/**
 * A dump against the memory that it is of: every byte of every PT_LOAD, what is in it and what is not, notes,
 * VMCOREINFO, and the log against the console.
 */
import { task_struct } from "../../../build/generated/offsets.ts";
import { type CrashedKernel, hex, Inconsistency } from "../../crashed/kernel.ts";
import { MemoryBytes } from "../../dump/bytes.ts";
import { ElfCore } from "../../dump/elf.ts";
import { dmesgText, kernelLog } from "../../dump/kernel-log.ts";
import { NT_PRSTATUS, readPrstatus } from "../../dump/notes.ts";
import { VMCOREINFO_NOTE } from "../../dump/vmcoreinfo.ts";
import { firstDifference } from "./bytes.ts";

export interface DumpEvidence {
  vmcore: Uint8Array;
  /** Memory as it was at the jump into purgatory. */
  memory: Uint8Array;
  kernel: CrashedKernel;
  region: { base: number; size: number };
  /** What the first kernel printed, timestamps included. */
  console: string;
  /** vmcore-dmesg.txt. */
  dmesg: string;
}

/** Low memory, which the dump has from its backup; page 0 is the firmware's. */
const LOW_START = 0x1000;
const LOW_END = 0xa0000;
const IMAGE_START = 0x100000;

export async function checkDump(evidence: DumpEvidence): Promise<void> {
  const core = await ElfCore.open(new MemoryBytes("vmcore", evidence.vmcore));
  if (core.problems.length > 0) throw new Inconsistency(`vmcore: ${core.problems[0]}`);
  checkLoads(core, evidence);
  checkNotes(core, evidence);
  await checkLog(core, evidence);
}

function checkLoads(core: ElfCore, { vmcore, memory, region }: DumpEvidence): void {
  for (const { index, physical, offset, fileSize } of core.loads) {
    if (physical === null) throw new Inconsistency(`PT_LOAD ${index} has no address`);
    const wanted = memory.subarray(physical, physical + fileSize);
    const found = vmcore.subarray(offset, offset + fileSize);
    const differs = firstDifference(wanted, found);
    if (differs >= 0) {
      throw new Inconsistency(
        `PT_LOAD ${index}: memory at ${hex(physical + differs)} was ${wanted[differs]}, the dump has ` +
          `${found[differs]}`,
      );
    }
    if (physical < region.base + region.size && physical + fileSize > region.base) {
      throw new Inconsistency(`PT_LOAD ${index} is of the crash region`);
    }
  }
  // All RAM but the crash region: the firmware's part at the top is not RAM.
  const covered = (at: number): boolean => core.ranges.some(({ start, end }) => at >= start && at < end);
  for (const at of [LOW_START, LOW_END - 1, IMAGE_START, region.base - 1]) {
    if (!covered(at)) throw new Inconsistency(`${hex(at)} is RAM and not in the dump`);
  }
}

function checkNotes(core: ElfCore, { kernel }: DumpEvidence): void {
  // One of each CPU that was online, in their order, of the task that it ran.
  const status = core.notes.filter(({ type, name }) => type === NT_PRSTATUS && name === "CORE");
  const found = status.map((note) => readPrstatus(note)?.pid);
  const wanted = kernel.onlineCpus.map((cpu) => {
    return kernel.s32(kernel.pointer(kernel.percpu("current_task", cpu)) + task_struct.pid);
  });
  if (found.join() !== wanted.join()) {
    throw new Inconsistency(`the notes are of tasks ${found.join()}, the CPUs ran ${wanted.join()}`);
  }
  const note = core.notes.find(({ name }) => name === VMCOREINFO_NOTE);
  if (note === undefined) throw new Inconsistency("no VMCOREINFO note");
  const text = core.vmcoreinfo.text;
  for (const line of ["OSRELEASE=5.15.0-wasm", "PAGESIZE=4096", "SYMBOL(prb)=", "CRASHTIME="]) {
    if (!text.includes(line)) throw new Inconsistency(`VMCOREINFO has no ${line}`);
  }
  const plain = text.replace(/\0+$/, "");
  if (kernel.text(kernel.pointer(kernel.symbol("vmcoreinfo_data_safecopy")), plain.length) !== plain) {
    throw new Inconsistency("VMCOREINFO is not what the kernel kept of it");
  }
}

/** A log with so much text in it may have lost some: what is around it takes the rest of 128 KiB. */
const LOG_FULL = 40_000;
/** Lines with a time, as the kernel prints them. */
const LINE = /^\[ *\d+\.\d{6}\] .*$/;

async function checkLog(core: ElfCore, { console: said, dmesg }: DumpEvidence): Promise<void> {
  const problems: string[] = [];
  let log = "";
  const records = kernelLog(core).records((problem) => {
    problems.push(problem);
  });
  for await (const record of records) log += dmesgText(record);
  if (problems.length > 0) throw new Inconsistency(`log: ${problems[0]}`);
  if (log !== dmesg) throw new Inconsistency("vmcore-dmesg.txt is not the dump's log");
  const kept = log.split("\n");
  const lines = new Set(kept);
  const printed = said.replaceAll("\r", "").split("\n");
  // A log that was full has lost its beginning: what was printed before its first line that was printed too.
  // That may be a line of the same words and microsecond; then the last of them.
  const oldest =
    log.length > LOG_FULL ? kept.find((line) => LINE.test(line) && printed.includes(line)) : undefined;
  const lost = oldest === undefined ? 0 : printed.lastIndexOf(oldest);
  for (const line of printed.slice(lost)) {
    if (LINE.test(line) && !lines.has(line))
      throw new Inconsistency(`the console's "${line}" is not in the log`);
  }
}
