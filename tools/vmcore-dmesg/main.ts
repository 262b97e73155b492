/**
 * vmcore-dmesg: kexec-tools' program, inside the machine on /proc/vmcore and on the host on any x86_64 dump,
 * whatever its format.
 */
import type { Proc } from "../../runtime/user/proc.ts";
import { SyscallError } from "../../runtime/user/proc.ts";
import { FileBytes } from "../dump/bytes.ts";
import { DumpError } from "../dump/error.ts";
import { dmesgText, kernelLog } from "../dump/kernel-log.ts";
import { latin1 } from "../dump/notes.ts";
import { openDump } from "../dump/open.ts";
import { strerror } from "../strerror.ts";

export const HELP = `vmcore-dmesg - print the kernel log that a vmcore holds

Usage: vmcore-dmesg VMCORE [VMCORE...]
       vmcore-dmesg --help

VMCORE is the dump of a crashed x86_64 kernel: /proc/vmcore in a capture kernel,
a copy of it, or what makedumpfile makes of it: ELF (-E), kdump-compressed with
zlib, lzo, snappy or zstd, or flattened (-F); of this project's kernel or of
Linux itself. Several files are those of one makedumpfile --split. The log is
found through VMCOREINFO, in each form that Linux has kept it (printk ring
buffer since 5.10, records since 3.5, characters before). It is printed as

    [    0.000000] Linux version 5.15.0 ...

seconds since boot, then the text. Bytes that cannot be printed appear as \\xNN.

A dump that is damaged or was cut off gives what can still be read of its log;
what could not is told on standard error.

Options:
  --help      print this text

Exit status:
  0  the log was printed
  1  it could not be read; the reason is on standard error
  2  wrong usage

See also: makedumpfile --dump-dmesg.
`;

/** Output is written in pieces of this many characters. */
const OUTPUT_PIECE = 64 * 1024;
/** A ring full of damage would fill the console. */
const PROBLEMS_MAX = 8;

export async function main(proc: Proc): Promise<number> {
  const name = proc.argv[0] ?? "vmcore-dmesg";
  const args = proc.argv.slice(1);
  if (args.includes("--help")) {
    await proc.write(1, HELP);
    return 0;
  }
  const wrong = args.find((arg) => arg.startsWith("-"));
  if (args.length === 0 || wrong !== undefined) {
    if (wrong !== undefined) await proc.write(2, `${name}: unknown option ${wrong}\n`);
    await proc.write(2, `usage: ${name} <kernel core file>\n`);
    return 2;
  }
  try {
    await print(proc, name, args);
    return 0;
  } catch (error) {
    if (error instanceof DumpError) await proc.write(2, `${name}: ${error.message}\n`);
    else if (error instanceof SyscallError) {
      await proc.write(2, `${name}: Cannot open ${error.path ?? args[0]}: ${strerror(error)}\n`);
    } else throw error;
    return 1;
  }
}

async function print(proc: Proc, name: string, paths: readonly string[]): Promise<void> {
  const files: FileBytes[] = [];
  const path = paths[0]!;
  try {
    for (const one of paths) files.push(await FileBytes.open(proc, one));
    const dump = await openDump(files);
    const problems = [...dump.problems];
    let untold = 0;
    const tell = (text: string) => {
      if (problems.length < PROBLEMS_MAX) problems.push(text);
      else untold++;
    };
    let output = "";
    for await (const record of kernelLog(dump).records(tell)) {
      output += dmesgText(record);
      if (output.length < OUTPUT_PIECE) continue;
      await proc.write(1, latin1(output));
      output = "";
    }
    if (output !== "") await proc.write(1, latin1(output));
    for (const text of problems) await proc.write(2, `${name}: ${path}: ${text}\n`);
    if (untold > 0) await proc.write(2, `${name}: ${path}: and ${untold} problems more\n`);
  } finally {
    for (const file of files) await file.close();
  }
}
