/**
 * The crashed kernel's memory as the fuzzer's checks and the truth about a dump read it: symbols, pointers,
 * lists. Nothing is trusted: what leads out of memory or does not come back is an Inconsistency.
 */
import { list_head, page, xa_node } from "../../build/generated/offsets.ts";
import type { SystemMap } from "./system-map.ts";

/** What the kernel's memory says of itself is not true. */
export class Inconsistency extends Error {}

const DIRECT_HI = 0xffff8880;
const IMAGE_HI = 0xffffffff;
const IMAGE_LO = 0x80000000;
/** Modules' space, up to the end of addresses. */
const MODULES_LO = 0xa0000000;
const VMEMMAP_HI = 0xffffea00;
const VMALLOC_HI = 0xffffc900;
const VMALLOC_HI_END = 0xffffe900;
const PTE_PFN_MASK = 0x000ffffffffff000n;
const LIST_MAX = 1 << 20;
const XA_CHUNK_SIZE = 64;

export const hex = (value: number): string => `0x${value.toString(16)}`;

export class CrashedKernel {
  readonly #view: DataView;
  readonly size: number;
  readonly #symbols: SystemMap;
  readonly #vmemmap: number;

  constructor(view: DataView, symbols: SystemMap) {
    this.#view = view;
    this.size = view.byteLength;
    this.#symbols = symbols;
    this.#vmemmap = this.u64(this.symbol("vmemmap_phys"));
  }

  u16(at: number): number {
    return this.#view.getUint16(this.#inside(at, 2), true);
  }

  u8(at: number): number {
    return this.#view.getUint8(this.#inside(at, 1));
  }

  u32(at: number): number {
    return this.#view.getUint32(this.#inside(at, 4), true);
  }

  s32(at: number): number {
    return this.#view.getInt32(this.#inside(at, 4), true);
  }

  /** Exact up to 2^53. */
  u64(at: number): number {
    return this.u32(at) + this.u32(at + 4) * 0x1_0000_0000;
  }

  s64(at: number): number {
    return this.u32(at) + this.s32(at + 4) * 0x1_0000_0000;
  }

  raw(at: number): bigint {
    return this.#view.getBigUint64(this.#inside(at, 8), true);
  }

  text(at: number, max: number): string {
    let text = "";
    for (let i = 0; i < max && this.u8(at + i) !== 0; i++) text += String.fromCharCode(this.u8(at + i));
    return text;
  }

  /** Physical address of a symbol of the image. */
  symbol(name: string): number {
    return this.#symbols.physical(name);
  }

  /** Physical address of a CPU's copy of a per-CPU variable. */
  percpu(name: string, cpu = 0): number {
    return this.percpuBase(cpu) + this.#symbols.percpu(name);
  }

  /** Where a CPU's area begins; pointers to per-CPU memory are relative to it. */
  percpuBase(cpu = 0): number {
    return this.pointer(this.symbol("__per_cpu_offset") + cpu * 8);
  }

  /** Numbers of the CPUs that were online, as __cpu_online_mask says. */
  get onlineCpus(): number[] {
    const mask = this.raw(this.symbol("__cpu_online_mask"));
    return Array.from({ length: 64 }, (_, cpu) => cpu).filter((cpu) => (mask >> BigInt(cpu)) & 1n);
  }

  /** Physical address behind the pointer at `at`, 0 for NULL. */
  pointer(at: number): number {
    const lo = this.u32(at);
    const hi = this.u32(at + 4);
    const physical = this.#physical(hi, lo);
    if (physical === undefined || physical >= this.size) {
      const value = `${hi.toString(16).padStart(8, "0")}${lo.toString(16).padStart(8, "0")}`;
      throw new Inconsistency(`the pointer at ${hex(at)}, ${value}, leads nowhere`);
    }
    return physical;
  }

  #physical(hi: number, lo: number): number | undefined {
    if (hi === DIRECT_HI) return lo;
    if (hi === IMAGE_HI && lo >= MODULES_LO) return this.#mapped(hi, lo);
    if (hi === IMAGE_HI && lo >= IMAGE_LO) return lo - IMAGE_LO;
    if (hi === VMEMMAP_HI) return this.#vmemmap + lo;
    if (hi >= VMALLOC_HI && hi < VMALLOC_HI_END) return this.#mapped(hi, lo);
    return hi === 0 && lo === 0 ? 0 : undefined;
  }

  /** Behind an address of vmalloc() or a module's, by the kernel's page tables. */
  #mapped(hi: number, lo: number): number | undefined {
    const address = (BigInt(hi) << 32n) | BigInt(lo);
    let table = this.symbol("swapper_pg_dir");
    for (const shift of [39n, 30n, 21n, 12n]) {
      const entry = this.raw(table + Number((address >> shift) & 511n) * 8);
      if ((entry & 1n) === 0n) return undefined;
      table = Number(entry & PTE_PFN_MASK);
    }
    return table + (lo & 0xfff);
  }

  /** Physical addresses of the entries of the list whose head is at `head`; its links must agree. */
  *list(head: number, what: string): Generator<number> {
    let before = head;
    for (let count = 0; ; count++) {
      const at = this.pointer(before + list_head.next);
      const back = at === 0 ? 0 : this.pointer(at + list_head.prev);
      if (back !== before) {
        throw new Inconsistency(
          `${what}: ${hex(before)} is followed by ${hex(at)}, whose prev is ${hex(back)}`,
        );
      }
      if (at === head) return;
      if (count > LIST_MAX) throw new Inconsistency(`${what}: the list does not come back to its head`);
      yield at;
      before = at;
    }
  }

  /** Index and value of the entries of an XArray, `at` its xa_head. */
  *xarray(at: number): Generator<[index: number, entry: number]> {
    const head = this.raw(at);
    if (head === 0n) return;
    if ((head & 3n) !== 2n) yield [0, this.pointer(at)];
    else yield* this.#xaNode(this.#node(at), 0);
  }

  #node(at: number): number {
    return this.#physical(this.u32(at + 4), this.u32(at) - 2) ?? 0;
  }

  *#xaNode(node: number, base: number): Generator<[number, number]> {
    const shift = this.u8(node + xa_node.shift);
    let count = 0;
    for (let slot = 0; slot < XA_CHUNK_SIZE; slot++) {
      const at = node + xa_node.slots + slot * 8;
      const entry = this.raw(at);
      if (entry === 0n) continue;
      count++;
      const index = base + slot * 2 ** shift;
      if ((entry & 3n) === 2n) {
        const child = this.#node(at);
        if (this.pointer(child + xa_node.parent) !== node || this.u8(child + xa_node.offset) !== slot) {
          throw new Inconsistency(`XArray: the node at ${hex(child)} does not know its parent ${hex(node)}`);
        }
        yield* this.#xaNode(child, index);
      } else yield [index, this.pointer(at)];
    }
    if (count !== this.u8(node + xa_node.count)) {
      throw new Inconsistency(
        `XArray: the node at ${hex(node)} counts ${this.u8(node + xa_node.count)} of ${count}`,
      );
    }
  }

  /** The struct pages: physical address of the first, and the page frame numbers they stand for. */
  get pages(): { first: number; end: number } {
    const first = (this.u64(this.symbol("mem_map_start_phys")) - this.#vmemmap) / page.SIZE;
    const end = (this.u64(this.symbol("mem_map_end_phys")) - this.#vmemmap) / page.SIZE;
    return { first, end: Math.min(end, this.size / 4096) };
  }

  /** Physical address of a page's struct. */
  pageAt(pfn: number): number {
    return this.#vmemmap + pfn * page.SIZE;
  }

  pfnOf(at: number): number {
    return (at - this.#vmemmap) / page.SIZE;
  }

  #inside(at: number, length: number): number {
    if (at < 0 || at + length > this.size) throw new Inconsistency(`${hex(at)} is not in memory`);
    return at;
  }
}
