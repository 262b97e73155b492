/** The kernel's log as makedumpfile --dump-dmesg writes it: further lines of a record are indented. */
import { dmesgText, kernelLog } from "../dump/kernel-log.ts";
import type { KernelDump } from "../dump/memory-source.ts";
import { latin1 } from "../dump/notes.ts";
import { BufferedWriter, type ByteSink } from "../dump/sink.ts";

const BUFFER_SIZE = 64 * 1024;

/** Throws DumpError when the dump has no log; damage that costs records is told through `problem`. */
export async function writeLog(
  dump: KernelDump,
  sink: ByteSink,
  sinceCleared: boolean,
  problem: (text: string) => Promise<void>,
): Promise<void> {
  const output = new BufferedWriter(sink, 0, BUFFER_SIZE);
  const problems: string[] = [];
  const records = kernelLog(dump).records((text) => void problems.push(text), sinceCleared);
  for await (const record of records) {
    const text = dmesgText(record);
    const indent = record.ts_nsec === null ? 0 : text.indexOf("] ") + 2;
    const lines = indent === 0 ? text : text.slice(0, -1).replaceAll("\n", `\n${" ".repeat(indent)}`);
    await output.append(latin1(indent === 0 ? lines : `${lines}\n`));
  }
  await output.flush();
  for (const text of problems) await problem(`${dump.name}: ${text}\n`);
}
