/**
 * KdumpCore: a kdump-compressed dump (makedumpfile's own format), header versions 0 to 6, as a KernelDump.
 * kdump-header.ts draws the format. Bitmaps and page descriptors are read as pages are asked for.
 */
import { Bitmap } from "./bitmap.ts";
import { type ByteSource, readInto } from "./bytes.ts";
import { CachedBytes } from "./cached-bytes.ts";
import { CODECS, type Codec, loadCodecs, type PageCodecs } from "./codecs.ts";
import { ADVICE_DAMAGED, DumpError, hex } from "./error.ts";
import { DUMP_DH_COMPRESSED_INCOMPLETE, type Extent, type KdumpHeader, PAGE_DESC } from "./kdump-header.ts";
import { readKdumpHeader } from "./kdump-open.ts";
import { type KernelDump, type PageState, READ_MAX } from "./memory-source.ts";
import { cString, type Note, parseNotes } from "./notes.ts";
import type { PageBitmap } from "./page-bitmap.ts";
import { type VmcoreInfo, vmcoreinfoFrom, vmcoreinfoOf } from "./vmcoreinfo.ts";

/** Pages that are kept unpacked: page tables and lists are read in small pieces. */
const PAGES_KEPT = 32;

/** Of pages one behind the other: how many, and bytes of packed ones, that are read at once. */
const PAGES_READ = 1024;
const PACKED_SIZE = 1024 * 1024;

/** A page descriptor. */
interface Descriptor {
  /** Where it lies in the file. */
  at: number;
  offset: number;
  size: number;
  flags: number;
}

export class KdumpCore implements KernelDump {
  readonly name: string;
  readonly format: string;
  readonly mappings = [];
  private readonly first: Bitmap;
  private readonly second: Bitmap;
  private readonly descriptors: number;
  /** Pages before startPfn, whose descriptors another file of the set has. */
  private skipped: number | null = null;
  private readonly kept = new Map<number, Uint8Array>();
  private info: VmcoreInfo | null = null;
  /** Where readRun puts what it reads, unless another one is under way. */
  private packed: Uint8Array | null = null;

  private constructor(
    private readonly bytes: CachedBytes,
    readonly header: KdumpHeader,
    readonly notes: readonly Note[],
    readonly noteBytes: Uint8Array,
    readonly problems: readonly string[],
    private readonly vmcoreinfoBytes: Uint8Array | null,
    readonly eraseinfo: string,
    private readonly codecs: PageCodecs,
  ) {
    this.name = bytes.source.name;
    this.format = `kdump-compressed dump version ${header.version}`;
    const { blockSize, subHdrSize, bitmapBlocks, maxMapnr } = header;
    const offset = (1 + subHdrSize) * blockSize;
    const half = (bitmapBlocks / 2) * blockSize;
    this.first = new Bitmap(bytes, offset, maxMapnr, "the 1st bitmap");
    this.second = new Bitmap(bytes, offset + half, maxMapnr, "the 2nd bitmap");
    this.descriptors = offset + 2 * half;
  }

  /** Reads headers and notes; `known` are problems found before. Throws DumpError when they are damaged. */
  static async open(source: ByteSource, known: readonly string[] = []): Promise<KdumpCore> {
    const bytes = new CachedBytes(source);
    const header = await readKdumpHeader(bytes);
    const problems = [...known];
    const part = async ({ offset, size }: Extent, what: string) =>
      size === 0 ? null : (await bytes.view(offset, size, what)).slice();
    const noteBytes = (await part(header.notes, "the notes")) ?? new Uint8Array(0);
    const parsed = parseNotes(noteBytes, header.little);
    for (const problem of parsed.problems) problems.push(problem);
    const vmcoreinfo = await part(header.vmcoreinfo, "VMCOREINFO");
    if ((header.status & DUMP_DH_COMPRESSED_INCOMPLETE) !== 0) {
      problems.push("the dump is incomplete (status 8): there was no room for its last pages");
    }
    const erased = cString(
      (await part(header.eraseinfo, "the list of what was erased")) ?? new Uint8Array(0),
    );
    const codecs = await loadCodecs();
    return new KdumpCore(bytes, header, parsed.notes, noteBytes, problems, vmcoreinfo, erased, codecs);
  }

  get machine(): string {
    return this.header.utsname.machine;
  }

  get pageSize(): number {
    return this.header.blockSize;
  }

  get end(): number {
    return this.header.maxMapnr * this.pageSize;
  }

  get physBase(): bigint {
    return this.header.physBase;
  }

  get dumpLevel(): number | null {
    return this.header.version >= 1 ? this.header.dumpLevel : null;
  }

  get vmcoreinfo(): VmcoreInfo {
    this.info ??=
      this.vmcoreinfoBytes === null
        ? vmcoreinfoOf(this.name, this.notes)
        : vmcoreinfoFrom(this.name, this.vmcoreinfoBytes);
    return this.info;
  }

  async held(): Promise<number> {
    return (await this.second.total()) * this.pageSize;
  }

  /** Whether this file of a split set is the one that has the page. */
  covers(pfn: number): boolean {
    const { split, startPfn, endPfn } = this.header;
    return !split || (pfn >= startPfn && pfn < endPfn);
  }

  async pageState(pfn: number): Promise<PageState> {
    if (!(await this.second.test(pfn))) return (await this.first.test(pfn)) ? "excluded" : "missing";
    if (!this.covers(pfn)) return "lost";
    const descriptor = await this.descriptor(pfn);
    const { offset, size } = descriptor;
    if (offset === 0 || offset + size > this.bytes.source.size) return "lost";
    return (await this.isZeroPage(descriptor)) ? "zero" : "present";
  }

  async pages(): Promise<{ exist: PageBitmap; dumped: PageBitmap }> {
    return { exist: await this.first.all(), dumped: await this.second.all() };
  }

  async read(physical: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    if (!(physical >= 0 && length >= 0 && length <= READ_MAX)) {
      const what = `no memory has ${hex(length)} bytes at ${hex(physical)}`;
      throw new DumpError(this.name, what, ADVICE_DAMAGED);
    }
    const { pageSize } = this;
    const bytes = into ?? new Uint8Array(length);
    for (let at = physical; at < physical + length; ) {
      const pfn = Math.floor(at / pageSize);
      const within = at - pfn * pageSize;
      const left = Math.floor((physical + length - at) / pageSize);
      const whole = within === 0 ? Math.min(left, PAGES_READ) : 0;
      if (whole > 1 && (await this.holds(pfn, whole))) {
        await this.readRun(pfn, whole, bytes.subarray(at - physical));
        at += whole * pageSize;
        continue;
      }
      const count = Math.min(pageSize - within, physical + length - at);
      const page = await this.page(pfn);
      bytes.set(page.subarray(within, within + count), at - physical);
      at += count;
    }
    return bytes;
  }

  /** Whether the file has all of these pages. */
  private async holds(pfn: number, count: number): Promise<boolean> {
    if (!this.covers(pfn) || !this.covers(pfn + count - 1)) return false;
    return (await this.second.rank(pfn + count)) - (await this.second.rank(pfn)) === count;
  }

  /**
   * Pages that the file has, one behind the other. Their descriptors lie so too, and the data of most, which
   * are read at once; pages of zeros between them share theirs. What is wrong with a page, page() says.
   */
  private async readRun(pfn: number, count: number, into: Uint8Array): Promise<void> {
    const { pageSize } = this;
    const packed = this.packed ?? new Uint8Array(PACKED_SIZE);
    this.packed = null;
    const descriptors = await this.descriptorsOf(pfn, count);
    for (let first = 0; first < count; ) {
      const start = descriptors[first]!.offset;
      let end = start;
      let next = first;
      const inside: boolean[] = [];
      for (; next < count && end - start + pageSize <= PACKED_SIZE; next++) {
        const page = descriptors[next]!;
        const follows = page.offset === end && this.isSound(page);
        if (!follows && next > first && page.flags !== 0) break;
        if (follows) end += page.size;
        inside.push(follows);
      }
      if (end > start) await readInto(this.bytes.source, start, packed.subarray(0, end - start), "pages");
      let at = 0;
      for (const [index, follows] of inside.entries()) {
        const { flags, size } = descriptors[first + index]!;
        let page: Uint8Array | null = null;
        if (follows) {
          page = packed.subarray(at, at + size);
          const codec = codecOf(flags);
          if (codec) page = this.codecs.decompress(codec, page, pageSize);
          at += size;
        }
        into.set(page ?? (await this.page(pfn + first + index)), (first + index) * pageSize);
      }
      first = next;
    }
    this.packed = packed;
  }

  /** Whether what a descriptor says can be. */
  private isSound({ offset, size, flags }: Descriptor): boolean {
    const codec = codecOf(flags);
    const fits = codec === null ? size === this.pageSize : size > 0 && size <= this.pageSize;
    return offset !== 0 && codec !== undefined && fits && offset + size <= this.bytes.source.size;
  }

  /** A page, not to be written to. Throws DumpError when the dump does not have it. */
  private async page(pfn: number): Promise<Uint8Array> {
    const kept = this.kept.get(pfn);
    if (kept !== undefined) return kept;
    if (!(await this.second.test(pfn))) throw await this.absent(pfn);
    if (!this.covers(pfn)) {
      const { startPfn, endPfn } = this.header;
      const own = `this one has ${hex(startPfn)}..${hex(endPfn)}`;
      const what = `page ${hex(pfn)} is in another file of the split set: ${own}`;
      throw new DumpError(this.name, what, "Give all files of the set.");
    }
    const page = await this.unpack(pfn, await this.descriptor(pfn));
    if (this.kept.size >= PAGES_KEPT) this.kept.delete(this.kept.keys().next().value as number);
    this.kept.set(pfn, page);
    return page;
  }

  private async absent(pfn: number): Promise<DumpError> {
    const address = `physical address ${hex(pfn * this.pageSize)}`;
    if (!(await this.first.test(pfn))) {
      const advice =
        "It was left out (the crash region always is), or the address comes from damaged memory.";
      return new DumpError(this.name, `${address} is not in the dump`, advice);
    }
    const level = this.dumpLevel === null ? "" : ` (dump level ${this.dumpLevel})`;
    return new DumpError(
      this.name,
      `${address} was excluded from the dump${level}`,
      "Dump with a lower level.",
    );
  }

  private async descriptor(pfn: number): Promise<Descriptor> {
    const [descriptor] = await this.descriptorsOf(pfn, 1);
    return descriptor!;
  }

  /** The descriptors of `count` pages that the file has one behind the other. */
  private async descriptorsOf(pfn: number, count: number): Promise<Descriptor[]> {
    const { split, startPfn, little } = this.header;
    this.skipped ??= split ? await this.second.rank(startPfn) : 0;
    const index = (await this.second.rank(pfn)) - this.skipped;
    const at = this.descriptors + index * PAGE_DESC.size;
    const length = count * PAGE_DESC.size;
    const bytes = await this.bytes.view(at, length, `the descriptor of page ${hex(pfn)}`);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return Array.from({ length: count }, (_, index) => {
      const start = index * PAGE_DESC.size;
      const high = view.getUint32(start + (little ? 4 : 0), little);
      const low = view.getUint32(start + (little ? 0 : 4), little);
      return {
        at: at + start,
        // Beyond the end of any file: the same error as a little behind its end.
        offset: high >= 2 ** 20 ? 2 ** 52 : high * 2 ** 32 + low,
        size: view.getUint32(start + PAGE_DESC.bytes[0], little),
        flags: view.getUint32(start + PAGE_DESC.flags[0], little),
      };
    });
  }

  /** Pages of zeros share the first page of data: one stored page of zeros. */
  private async isZeroPage({ offset, size, flags }: Descriptor): Promise<boolean> {
    if (((this.dumpLevel ?? 0) & 1) === 0 || codecOf(flags) !== null || size !== this.pageSize) return false;
    const bytes = await this.bytes.view(offset, size, "a page");
    return bytes.every((byte) => byte === 0);
  }

  private async unpack(pfn: number, { at, offset, size, flags }: Descriptor): Promise<Uint8Array> {
    const { pageSize } = this;
    const wrong = (what: string) =>
      new DumpError(
        `${this.name}, offset ${hex(at)}`,
        `the descriptor of page ${hex(pfn)} ${what}`,
        ADVICE_DAMAGED,
      );
    if (offset === 0) throw wrong("was never written: the dump is incomplete");
    const codec = codecOf(flags);
    if (codec === undefined) throw wrong(`has flags ${hex(flags)}: expected 0, 1, 2, 4 or 0x20`);
    if (size === 0 || size > pageSize || (codec === null && size !== pageSize)) {
      throw wrong(`has size ${size}: expected ${codec === null ? "" : "at most "}${pageSize}`);
    }
    const bytes = await this.bytes.view(offset, size, `page ${hex(pfn)}`);
    if (codec === null) return bytes;
    const page = this.codecs.decompress(codec, bytes, pageSize);
    if (page !== null) return page.slice();
    const what = `page ${hex(pfn)}: these ${size} bytes are no ${codec} data of ${pageSize} bytes`;
    throw new DumpError(`${this.name}, offset ${hex(offset)}`, what, ADVICE_DAMAGED);
  }
}

const CODEC_OF = new Map((Object.keys(CODECS) as Codec[]).map((codec) => [CODECS[codec] as number, codec]));

/** The codec that flags name; null for a page stored as it is, undefined when they name none. */
function codecOf(flags: number): Codec | null | undefined {
  if (flags === 0) return null;
  return CODEC_OF.get(flags);
}
