/**
 * SplitDump: the files of `makedumpfile --split` as one KernelDump. Each is a kdump-compressed dump with all
 * headers, notes and bitmaps, and the data of the pages [start_pfn, end_pfn).
 */
import { DumpError, hex } from "./error.ts";
import type { KdumpCore } from "./kdump.ts";
import type { KdumpHeader } from "./kdump-header.ts";
import { type KernelDump, type PageState, READ_MAX } from "./memory-source.ts";
import type { Note } from "./notes.ts";
import type { PageBitmap } from "./page-bitmap.ts";
import type { VmcoreInfo } from "./vmcoreinfo.ts";

export class SplitDump implements KernelDump {
  readonly name: string;
  readonly format: string;
  readonly mappings = [];
  readonly problems: readonly string[];
  private readonly first: KdumpCore;

  private constructor(private readonly parts: readonly KdumpCore[]) {
    this.first = parts[0]!;
    this.name = this.first.name;
    this.format = `${this.first.format}, split into ${parts.length} files`;
    this.problems = parts.flatMap(({ name, problems }) => problems.map((problem) => `${name}: ${problem}`));
  }

  /** Throws DumpError when the files are no set: not split, of several dumps, or overlapping. */
  static of(files: readonly KdumpCore[]): SplitDump {
    const parts = [...files].sort((a, b) => a.header.startPfn - b.header.startPfn);
    const advice = "Give the files of one `makedumpfile --split`, each once.";
    const { timestamp, maxMapnr, blockSize, utsname } = parts[0]!.header;
    const identity = ({ header }: KdumpCore) =>
      [header.timestamp.seconds, header.maxMapnr, header.blockSize, header.utsname.release].join();
    const wanted = [timestamp.seconds, maxMapnr, blockSize, utsname.release].join();
    let end = 0;
    for (const part of parts) {
      const { split, startPfn, endPfn } = part.header;
      if (!split) throw new DumpError(part.name, "is no file of a split set", advice);
      if (identity(part) !== wanted)
        throw new DumpError(part.name, "is of another dump than the others", advice);
      if (startPfn < end || endPfn < startPfn) {
        const what = `has pages ${hex(startPfn)}..${hex(endPfn)}, others end at ${hex(end)}`;
        throw new DumpError(part.name, what, advice);
      }
      end = endPfn;
    }
    return new SplitDump(parts);
  }

  get machine(): string {
    return this.first.machine;
  }

  get pageSize(): number {
    return this.first.pageSize;
  }

  get end(): number {
    return this.first.end;
  }

  get physBase(): bigint {
    return this.first.physBase;
  }

  get dumpLevel(): number | null {
    return this.first.dumpLevel;
  }

  get header(): KdumpHeader {
    return this.first.header;
  }

  get noteBytes(): Uint8Array {
    return this.first.noteBytes;
  }

  pages(): Promise<{ exist: PageBitmap; dumped: PageBitmap }> {
    return this.first.pages();
  }

  get notes(): readonly Note[] {
    return this.first.notes;
  }

  /** Each file has that of its own pages. */
  get eraseinfo(): string {
    return this.parts.map(({ eraseinfo }) => eraseinfo).join("");
  }

  get vmcoreinfo(): VmcoreInfo {
    return this.first.vmcoreinfo;
  }

  held(): Promise<number> {
    return this.first.held();
  }

  pageState(pfn: number): Promise<PageState> {
    return this.part(pfn).pageState(pfn);
  }

  async read(physical: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    if (!(physical >= 0 && length >= 0 && length <= READ_MAX)) return this.first.read(physical, length);
    const bytes = into ?? new Uint8Array(length);
    for (let at = physical; at < physical + length; ) {
      const pfn = Math.floor(at / this.pageSize);
      const part = this.part(pfn);
      const covered = part.covers(pfn) ? part.header.endPfn * this.pageSize : (pfn + 1) * this.pageSize;
      const stop = Math.min(physical + length, covered);
      const place = bytes.subarray(at - physical, stop - physical);
      const found = await part.read(at, stop - at, place);
      if (found !== place) place.set(found);
      at = stop;
    }
    return bytes;
  }

  /** The file that has the page; any when none has. */
  private part(pfn: number): KdumpCore {
    return this.parts.find((it) => it.covers(pfn)) ?? this.first;
  }
}
