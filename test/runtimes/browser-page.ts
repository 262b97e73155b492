/**
 * What a page in a browser does with dumps: the readers, the log and the writers of tools/dump, which ask for
 * nothing but the web's own globals. browser.test.ts bundles it.
 */
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import type { Codec } from "../../tools/dump/codecs.ts";
import { pageCompressor } from "../../tools/dump/compress.ts";
import { kdumpImage } from "../../tools/dump/describe.ts";
import { writeKdump } from "../../tools/dump/kdump-writer.ts";
import { dmesgText, kernelLog } from "../../tools/dump/kernel-log.ts";
import { openDump } from "../../tools/dump/open.ts";
import { MemorySink } from "../../tools/dump/sink.ts";

/** What a page says of a dump: the same wherever it runs. */
export interface PageReport {
  format: string;
  /** A sum of the bytes of the pages that the dump has. */
  pages: number;
  log: string;
  /** A sum of the dump written anew, by codec; null where there is no such compressor. */
  written: Record<string, number | null>;
}

/** FNV-1a: enough to tell two dumps apart, and no promise of crypto.subtle's. */
function sum(bytes: Uint8Array, from = 0x811c9dc5): number {
  let hash = from;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

export async function readDump(bytes: Uint8Array): Promise<PageReport> {
  const dump = await openDump([new MemoryBytes("dump", bytes)]);
  const { exist, dumped } = await dump.pages();
  let pages = 0;
  for (let pfn = dumped.next(0); pfn < dumped.pages; pfn = dumped.next(pfn + 1)) {
    pages = sum(await dump.read(pfn * dump.pageSize, dump.pageSize), pages);
  }
  let log = "";
  const problem = (text: string): void => void (log += `${text}\n`);
  for await (const record of kernelLog(dump).records(problem)) log += dmesgText(record);
  const written: PageReport["written"] = {};
  for (const codec of [null, "lzo", "snappy", "zlib", "zstd"] as (Codec | null)[]) {
    const compress = await pageCompressor(codec);
    const sink = new MemorySink();
    const read = (physical: number, length: number) => dump.read(physical, length);
    if (compress !== null) {
      const image = { ...(await kdumpImage(dump, 1)), maxMapnr: exist.pages };
      await writeKdump(sink, image, { exist, dumped, read, codec, compress });
    }
    written[codec ?? "none"] = compress === null ? null : sum(sink.bytes);
  }
  return { format: dump.format, pages, log, written };
}

(globalThis as { readDump?: typeof readDump }).readDump = readDump;
