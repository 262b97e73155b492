/** openDump: a dump of whatever format its first bytes say; several files are a split set. */
import { type ByteSource, readExactly } from "./bytes.ts";
import { ElfCore } from "./elf.ts";
import { DumpError } from "./error.ts";
import { FlattenedBytes } from "./flattened.ts";
import { KdumpCore } from "./kdump.ts";
import { KDUMP_SIGNATURE } from "./kdump-header.ts";
import type { KernelDump } from "./memory-source.ts";
import { SplitDump } from "./split.ts";

/**
 * Reads the headers; `files` stay open as long as the dump is read. Throws DumpError when the format is none
 * that is known, the headers are damaged, or several files are no split set.
 */
export async function openDump(files: readonly ByteSource[]): Promise<KernelDump> {
  const dumps: KernelDump[] = [];
  for (const file of files) dumps.push(await openFile(file));
  const [first] = dumps;
  if (first === undefined) throw new DumpError("no file", "a dump has one file or more", "Name its files.");
  if (dumps.length === 1) return first;
  const parts = dumps.filter((dump) => dump instanceof KdumpCore);
  if (parts.length < dumps.length) {
    const other = dumps.find((dump) => !(dump instanceof KdumpCore))!;
    throw new DumpError(
      other.name,
      `${other.format}: only kdump-compressed dumps are split`,
      "Give one file.",
    );
  }
  return SplitDump.of(parts);
}

async function openFile(file: ByteSource): Promise<KernelDump> {
  const start = await startOf(file);
  if (!FlattenedBytes.matches(start)) return openPlain(file, start, []);
  const inner = await FlattenedBytes.open(file);
  return openPlain(inner, await startOf(inner), inner.problems);
}

const startOf = (file: ByteSource): Promise<Uint8Array> =>
  readExactly(file, 0, Math.min(16, file.size), "the start of the file");

function openPlain(file: ByteSource, start: Uint8Array, problems: readonly string[]): Promise<KernelDump> {
  const signature = String.fromCharCode(...start);
  if (signature.startsWith(KDUMP_SIGNATURE)) return KdumpCore.open(file, problems);
  if (signature.startsWith("DISKDUMP")) {
    const advice = "Read it with crash.";
    throw new DumpError(`${file.name}, offset 0x0`, "a dump of diskdump, the one before kdump", advice);
  }
  return ElfCore.open(file, problems);
}
