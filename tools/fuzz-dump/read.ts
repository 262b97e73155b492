/** Reads of a dump all that a reader can ask for. */
import type { ByteSource } from "../dump/bytes.ts";
import { DumpError } from "../dump/error.ts";
import { kernelLog } from "../dump/kernel-log.ts";
import type { KernelDump } from "../dump/memory-source.ts";
import { openDump } from "../dump/open.ts";

/** Pages that are read of a dump, spread over it. */
const PAGES = 96;
const READ = 20_000;

export interface Reading {
  /** The dump was refused as a whole. */
  refused: boolean;
  records: number;
  /** Pages that were read. */
  pages: number;
}

/** Throws whatever is no DumpError. */
export async function readAll(source: ByteSource): Promise<Reading> {
  const reading: Reading = { refused: false, records: 0, pages: 0 };
  let dump: KernelDump;
  try {
    dump = await openDump([source]);
  } catch (error) {
    if (!(error instanceof DumpError)) throw error;
    return { ...reading, refused: true };
  }
  const attempt = async (work: () => Promise<unknown>): Promise<boolean> => {
    try {
      await work();
      return true;
    } catch (error) {
      if (error instanceof DumpError) return false;
      throw error;
    }
  };
  await attempt(() => dump.held());
  await attempt(async () => {
    for await (const _ of kernelLog(dump).records(() => {})) reading.records++;
  });
  const all = Math.ceil(dump.end / dump.pageSize);
  const step = Math.max(1, Math.floor(all / PAGES));
  for (let n = 0, pfn = 0; n < PAGES && pfn < all; n++, pfn += step) {
    await attempt(() => dump.pageState(pfn));
    if (await attempt(() => dump.read(pfn * dump.pageSize, READ))) reading.pages++;
    else if (await attempt(() => dump.read(pfn * dump.pageSize, 8))) reading.pages++;
  }
  return reading;
}
