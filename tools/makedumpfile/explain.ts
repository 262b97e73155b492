/**
 * makedumpfile --explain, which the original does not have: the rule that keeps a page or leaves it out at a
 * dump level, and what its struct page says.
 */
import { AddressSpace } from "../dump/address-space.ts";
import { DumpError, hex } from "../dump/error.ts";
import type { KernelDump, PageState } from "../dump/memory-source.ts";
import type { PageBitmap } from "../dump/page-bitmap.ts";
import type { VmcoreInfo } from "../dump/vmcoreinfo.ts";
import { type Excluded, excludePages, type Taken } from "./filter.ts";
import { MemMap } from "./mem-map.ts";
import { DL_EXCLUDE, KERNEL_ADDRESSES, LEVEL_MAX } from "./options.ts";

type Rule = keyof Excluded;

/** A page or block that a rule takes. */
interface Block {
  rule: Rule;
  first: number;
  pages: number;
}

const WORDS: Record<Rule, string> = {
  cache: "page cache",
  cachePrivate: "page cache with private data",
  user: "a process's page",
  free: "a free page",
  hwpoison: "poisoned by the hardware",
  offline: "logically offline",
};

const STATES: Record<Exclude<PageState, "present" | "zero" | "excluded">, string> = {
  missing: "in no dump: a hole in memory, or reserved memory as the crash kernel's own",
  lost: "not in this file, though it should be: the file was cut off, or is one of a set",
};

/** A paragraph for each of `asked`: page numbers, or kernel addresses of pages. Throws DumpError. */
export async function explain(dump: KernelDump, level: number, asked: readonly bigint[]): Promise<string> {
  const pfns: number[] = [];
  for (const number of asked) {
    if (number < KERNEL_ADDRESSES) pfns.push(Number(number));
    else {
      const { physical } = await new AddressSpace(dump).translate(number);
      pfns.push(Math.floor(physical / dump.pageSize));
    }
  }
  const { exist } = await dump.pages();
  const taken = await blocksOf(dump, level, pfns);
  // What another level would do: asked once, of all rules for struct pages.
  const structs = await Structs.open(dump, exist.pages);
  const takenAt31 = structs instanceof Structs ? await blocksOf(dump, LEVEL_MAX, pfns) : taken;
  const paragraphs: string[] = [];
  for (const pfn of pfns) {
    const lines = [
      `page ${hex(pfn)}, physical address ${hex(BigInt(pfn) * BigInt(dump.pageSize))}, dump level ${level}`,
      `  ${await verdict(dump, exist, level, pfn, taken.get(pfn) ?? null, takenAt31.get(pfn) ?? null)}`,
    ];
    const { first = pfn } = taken.get(pfn) ?? {};
    for (const page of first === pfn ? [pfn] : [pfn, first]) {
      lines.push(...(await structs.lines(page)).map((line) => `  ${line}`));
    }
    paragraphs.push(`${lines.join("\n")}\n`);
  }
  return paragraphs.join("\n");
}

/** The blocks that have these pages. */
async function blocksOf(
  dump: KernelDump,
  level: number,
  pfns: readonly number[],
): Promise<Map<number, Block>> {
  const { exist, dumped } = await dump.pages();
  const found = new Map<number, Block>();
  const taken: Taken = (rule, first, pages) => {
    for (const pfn of pfns) if (pfn >= first && pfn < first + pages) found.set(pfn, { rule, first, pages });
  };
  await excludePages(dump, level, exist, dumped, taken);
  return found;
}

async function verdict(
  dump: KernelDump,
  exist: PageBitmap,
  level: number,
  pfn: number,
  block: Block | null,
  blockAt31: Block | null,
): Promise<string> {
  const state = pfn < exist.pages ? await dump.pageState(pfn) : "missing";
  if (state === "excluded") {
    const why = blockAt31 === null ? "" : `: ${named(blockAt31, pfn, LEVEL_MAX)}`;
    return `not in this file: the filter that made it left it out already${why}`;
  }
  if (state !== "present" && state !== "zero") return STATES[state];
  if (!exist.has(pfn)) return "in no dump: a load has only a part of it";
  if (block !== null) return `left out: ${named(block, pfn, level)}`;
  const zero = await isZero(dump, pfn);
  if (zero && (level & DL_EXCLUDE.zero) !== 0) return `left out: a page of zeros (${DL_EXCLUDE.zero})`;
  const others = [
    ...(zero ? [`a page of zeros (${DL_EXCLUDE.zero})`] : []),
    ...(blockAt31 === null ? [] : [named(blockAt31, pfn, LEVEL_MAX)]),
  ];
  if (others.length === 0) return "kept: no rule of any level takes it";
  return `kept: level ${level} has no rule that takes it; another has: ${others.join("; ")}`;
}

/** The rule, the level's bit that turns it on, and the block that went with its first page. */
function named({ rule, first, pages }: Block, pfn: number, level: number): string {
  let bit = "at every level";
  if (rule === "cache")
    bit = String((level & DL_EXCLUDE.cache) !== 0 ? DL_EXCLUDE.cache : DL_EXCLUDE.cachePrivate);
  else if (rule !== "hwpoison" && rule !== "offline") bit = String(DL_EXCLUDE[rule]);
  if (pages === 1) return `${WORDS[rule]} (${bit})`;
  const end = hex(first + pages - 1);
  const head = first === pfn ? "which it begins" : "which goes with its first page";
  return `${WORDS[rule]} (${bit}), in the block of pages ${hex(first)}..${end}, ${head}`;
}

async function isZero(dump: KernelDump, pfn: number): Promise<boolean> {
  const bytes = await dump.read(pfn * dump.pageSize, dump.pageSize);
  return bytes.every((byte) => byte === 0);
}

/** What struct pages say, in lines for people. */
class Structs {
  private constructor(
    private readonly info: VmcoreInfo,
    private readonly space: AddressSpace,
    private readonly map: MemMap,
  ) {}

  /** With VMCOREINFO that does not describe them there are no lines. */
  static async open(dump: KernelDump, pages: number): Promise<{ lines(pfn: number): Promise<string[]> }> {
    try {
      const space = new AddressSpace(dump);
      return new Structs(dump.vmcoreinfo, space, await MemMap.open(space, dump.vmcoreinfo, pages));
    } catch (error) {
      if (!(error instanceof DumpError)) throw error;
      return { lines: async () => [`no struct page can be found: ${error.what}`] };
    }
  }

  async lines(pfn: number): Promise<string[]> {
    const address = this.map.address(pfn);
    if (address === null) return [`struct page of ${hex(pfn)}: the memory map has none`];
    const title = `struct page ${hex(address)} of page ${hex(pfn)}`;
    try {
      const bytes = await this.space.read(address, this.map.pageStructSize);
      return [title, ...(await this.members(pfn, address, new DataView(bytes.buffer, bytes.byteOffset)))];
    } catch (error) {
      if (!(error instanceof DumpError)) throw error;
      return [`${title}: ${error.what}`];
    }
  }

  private async members(pfn: number, address: bigint, page: DataView): Promise<string[]> {
    const { info } = this;
    const lines: string[] = [];
    const line = (name: string, value: string, meaning: string): void => {
      lines.push(`  ${name.padEnd(13)} ${value.padEnd(18)}  ${meaning}`.trimEnd());
    };
    const { pageStructSize } = this.map;
    /** 0 for what VMCOREINFO does not name, or puts outside. */
    const field = (member: string, bytes: 4 | 8): bigint => {
      const offset = info.has(`OFFSET(page.${member})`) ? info.offset(`page.${member}`) : pageStructSize;
      if (offset + bytes > pageStructSize) return 0n;
      return bytes === 8 ? page.getBigUint64(offset, true) : BigInt(page.getInt32(offset, true));
    };
    const u64 = (member: string): bigint => field(member, 8);
    const flags = u64("flags");
    line("flags", `0x${flags.toString(16).padStart(16, "0")}`, this.flagNames(flags).join(" "));
    const mapcount = field("_mapcount", 4);
    const types = ["PAGE_BUDDY_MAPCOUNT_VALUE", "PAGE_OFFLINE_MAPCOUNT_VALUE"];
    const type = types.find((name) => info.numberOr(name, 0n) === mapcount) ?? "";
    line("_mapcount", String(mapcount), type);
    const mapping = u64("mapping");
    line("mapping", hex(mapping), (mapping & 1n) !== 0n ? "anonymous memory" : "");
    const isFree = type === types[0];
    line("private", hex(u64("private")), isFree ? "order of the free block" : "");
    const head = u64("compound_head");
    if ((head & 1n) !== 0n) {
      const first = pfn - Number((address - (head - 1n)) / BigInt(pageStructSize));
      line("compound_head", hex(head), `a tail of page ${hex(first)}`);
    }
    if ((flags & info.numberOr("PG_head_mask", 0n)) !== 0n) {
      const second = await this.space.read(address + BigInt(pageStructSize), this.map.pageStructSize);
      const byte = (member: string): number => second[info.offset(`page.${member}`)] ?? 0;
      line("order", String(byte("compound_order")), "of the compound page that begins here");
      if (info.has("OFFSET(page.compound_dtor)")) {
        const dtor = byte("compound_dtor");
        const huge = BigInt(dtor) === info.numberOr("HUGETLB_PAGE_DTOR", -1n);
        line("compound_dtor", String(dtor), huge ? "HUGETLB_PAGE_DTOR" : "");
      }
    }
    return lines;
  }

  /** The flags that are set and that VMCOREINFO names, by their bits. */
  private flagNames(flags: bigint): string[] {
    const names: [bigint, string][] = [];
    for (const key of this.info.keys) {
      const [, name] = /^NUMBER\(PG_(\w+)\)$/.exec(key) ?? [];
      if (name === undefined) continue;
      const number = this.info.number(`PG_${name}`);
      const mask = name.endsWith("_mask") ? number : number >= 0n && number < 64n ? 1n << number : 0n;
      if ((flags & mask) !== 0n) names.push([mask, name.replace(/_mask$/, "")]);
    }
    return names.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, name]) => name);
  }
}
