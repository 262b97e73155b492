/**
 * The crashed kernel's struct page array, by page number: SPARSEMEM_EXTREME with or without VMEMMAP, as
 * x86_64 has it. mem_section is an array of roots, each a page of struct mem_section; section_mem_map is the
 * address that page 0's struct would have, with flags in its low bits.
 */
import type { AddressSpace } from "../dump/address-space.ts";
import { ADVICE_DAMAGED, DumpError, hex } from "../dump/error.ts";
import { READ_MAX } from "../dump/memory-source.ts";
import type { VmcoreInfo } from "../dump/vmcoreinfo.ts";

/** SECTION_SIZE_BITS of x86_64, less PAGE_SHIFT. */
const PAGES_PER_SECTION = 1 << (27 - 12);
/** SECTION_MAP_LAST_BIT: five flags since 5.16 or so; pointers are aligned to more. */
const SECTION_FLAGS = 0x3fn;
const SECTION_HAS_MEM_MAP = 2n;
/** struct pages that are read at once. */
const PIECE = 4096;
const ROOTS_MAX = 1 << 16;
const KERNEL = 1n << 63n;

/** By these lines the original tells how the memory map is organized. */
const DESCRIBED = [
  "SIZE(page)",
  "OFFSET(page.flags)",
  "OFFSET(page._refcount)",
  "OFFSET(page.mapping)",
  "SYMBOL(mem_section)",
  "SIZE(mem_section)",
  "OFFSET(mem_section.section_mem_map)",
];

/** struct pages of [pfn, pfn + count), until the next piece is asked for; null where the dump has none. */
export interface PagePiece {
  pfn: number;
  count: number;
  bytes: Uint8Array | null;
}

export class MemMap {
  readonly pageStructSize: number;
  private readonly sections = new Map<number, bigint>();
  /** For a piece, which lasts until the next one is asked for. */
  private readonly buffer: Uint8Array;

  private constructor(
    private readonly space: AddressSpace,
    info: VmcoreInfo,
  ) {
    this.pageStructSize = info.size("page");
    // Of longer structs, which are damage, nothing is read.
    this.buffer = new Uint8Array(Math.min(PIECE * this.pageStructSize, READ_MAX));
  }

  /** Reads where the sections' arrays lie. Throws DumpError, in the original's words, when nothing tells. */
  static async open(space: AddressSpace, info: VmcoreInfo, pages: number): Promise<MemMap> {
    const missing = DESCRIBED.find((line) => !info.has(line));
    if (missing !== undefined) {
      const why = `${info.name}, VMCOREINFO: the line ${missing} is missing`;
      throw new DumpError("get_mem_map", "Can't distinguish the memory type.", why);
    }
    const map = new MemMap(space, info);
    const symbol = info.symbol("mem_section");
    const sections = Math.ceil(pages / PAGES_PER_SECTION);
    if (await map.readRoots(info, symbol, sections)) return map;
    // Some kernels of 4.14 and later export the variable that points at the roots, not the roots.
    map.sections.clear();
    const pointer = await space.readU64(symbol);
    if (pointer >= KERNEL && (await map.readRoots(info, pointer, sections))) return map;
    const why = `${info.name}: no memory map behind mem_section at ${hex(symbol)}\n${ADVICE_DAMAGED}`;
    throw new DumpError("get_mm_sparsemem", "Can't get the address of mem_section.", why);
  }

  /** False when what lies there cannot be roots. */
  private async readRoots(info: VmcoreInfo, roots: bigint, sections: number): Promise<boolean> {
    const size = info.size("mem_section");
    const offset = info.offset("mem_section.section_mem_map");
    const perRoot = Math.floor(4096 / size);
    const length = info.has("LENGTH(mem_section)") ? info.length("mem_section") : ROOTS_MAX;
    const count = Math.min(length, Math.ceil(sections / perRoot), ROOTS_MAX);
    if (!(perRoot > 0 && offset + 8 <= size)) return false;
    for (let root = 0; root < count; root++) {
      const table = await this.space.readU64(roots + BigInt(root * 8));
      if (table === 0n) continue;
      if (table < KERNEL) return false;
      let bytes: Uint8Array;
      try {
        bytes = await this.space.read(table, perRoot * size);
      } catch (error) {
        if (error instanceof DumpError) return false;
        throw error;
      }
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      for (let n = 0; n < perRoot && root * perRoot + n < sections; n++) {
        const value = view.getBigUint64(n * size + offset, true);
        if ((value & SECTION_HAS_MEM_MAP) === 0n) continue;
        if (value < KERNEL) return false;
        this.sections.set(root * perRoot + n, value & ~SECTION_FLAGS);
      }
    }
    return this.sections.size > 0;
  }

  /** The sections that have an array: their pages, and the address of the first one's struct. */
  *arrays(): Generator<{ pfn: number; end: number; address: bigint }> {
    for (const section of [...this.sections.keys()].sort((a, b) => a - b)) {
      const pfn = section * PAGES_PER_SECTION;
      yield { pfn, end: pfn + PAGES_PER_SECTION, address: this.address(pfn) ?? 0n };
    }
  }

  /** The address of a page's struct; null where no section has an array. */
  address(pfn: number): bigint | null {
    const base = this.sections.get(Math.floor(pfn / PAGES_PER_SECTION));
    return base === undefined ? null : BigInt.asUintN(64, base + BigInt(pfn * this.pageStructSize));
  }

  /** All struct pages below `pages`, piece by piece, those of neighbouring pieces in order. */
  async *pieces(pages: number): AsyncGenerator<PagePiece> {
    for (let pfn = 0; pfn < pages; pfn += PIECE) {
      const count = Math.min(PIECE, pages - pfn);
      const base = this.sections.get(Math.floor(pfn / PAGES_PER_SECTION));
      if (base === undefined) yield { pfn, count, bytes: null };
      else yield* this.read(base, pfn, count);
    }
  }

  /** Where a part cannot be read (a section may be mapped in part only), half of it is tried. */
  private async *read(base: bigint, pfn: number, count: number): AsyncGenerator<PagePiece> {
    const address = BigInt.asUintN(64, base + BigInt(pfn * this.pageStructSize));
    try {
      const length = count * this.pageStructSize;
      const bytes = await this.space.read(address, length, this.buffer.subarray(0, length));
      yield { pfn, count, bytes };
    } catch (error) {
      if (!(error instanceof DumpError)) throw error;
      if (count <= 64) yield { pfn, count, bytes: null };
      else {
        const half = Math.ceil(count / 2);
        yield* this.read(base, pfn, half);
        yield* this.read(base, pfn + half, count - half);
      }
    }
  }
}
