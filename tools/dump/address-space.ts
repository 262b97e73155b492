/**
 * AddressSpace: the crashed kernel's virtual addresses on x86_64.
 *
 *     0xffff888000000000  direct map of all physical memory (elsewhere with CONFIG_RANDOMIZE_MEMORY)
 *     0xffffc90000000000  vmalloc          }  found
 *     0xffffea0000000000  vmemmap          }  through
 *     0xffffffffa0000000  modules          }  the page tables
 *     0xffffffff80000000  kernel image: pa = va - 0xffffffff80000000 + phys_base
 *
 * Symbols of VMCOREINFO are addresses at run time: KASLR's shift is in them. `relocate` adds it to an
 * address taken from the vmlinux. Image and direct map are translated by arithmetic, everything else by a
 * walk of the page tables (Intel SDM volume 3, 4.5), which have 5 levels where NUMBER(pgtable_l5_enabled) is
 * 1 (direct map from 0xff11000000000000, vmalloc 0xffa0000000000000, vmemmap 0xffd4000000000000).
 */
import { ADVICE_DAMAGED, DumpError, hex } from "./error.ts";
import { type KernelDump, READ_MAX } from "./memory-source.ts";

/** __START_KERNEL_map: where the kernel image is mapped. */
export const START_KERNEL_MAP = 0xffffffff80000000n;
/** KERNEL_IMAGE_SIZE without CONFIG_RANDOMIZE_BASE. */
const KERNEL_IMAGE_SIZE = 512n << 20n;
const TABLE_SIZE = 4096;
/** Bits 12..51 of an entry: the physical address of what it points at. */
const PTE_PFN_MASK = 0x000ffffffffff000n;
const PRESENT = 1n;
/** _PAGE_PSE: a 1 GiB or 2 MiB leaf. */
const LARGE = 0x80n;

/** What a VirtualArray keeps at a time. */
const WINDOW_SIZE = 64 * 1024;

export type TableLevel = "PGD" | "P4D" | "PUD" | "PMD" | "PTE";
/** [bits of the virtual address below the level's index, its name] from the top. */
type Levels = readonly (readonly [bigint, TableLevel])[];
const LEVELS: Levels = [
  [39n, "PGD"],
  [30n, "PUD"],
  [21n, "PMD"],
  [12n, "PTE"],
];
const LEVELS_LA57: Levels = [[48n, "PGD"], [39n, "P4D"], ...LEVELS.slice(1)];
const INDEX_BITS = 9n;

/** Where a virtual address lies, and how many bytes from there on are contiguous in both worlds. */
export interface Translation {
  physical: number;
  contiguous: number;
}

/** Told of each entry that a walk meets: where it lies, and what it is. */
export type Walked = (level: TableLevel, at: number, entry: bigint) => void;

export class AddressSpace {
  readonly physBase: bigint;
  /** What KASLR added to the addresses of the vmlinux. */
  readonly kernelOffset: bigint;
  private readonly imageEnd: bigint;
  private readonly levels: Levels;
  /** The last table looked at of each level: neighbours are asked for one after another. */
  private readonly tables: { at: number; view: DataView }[] = [];

  constructor(private readonly dump: KernelDump) {
    const info = dump.vmcoreinfo;
    if (dump.machine !== "x86_64") {
      const advice = "Read this dump with crash on a machine of its kind.";
      throw new DumpError(dump.name, `made on ${dump.machine}: virtual addresses are x86_64's only`, advice);
    }
    this.imageEnd = START_KERNEL_MAP + info.numberOr("KERNEL_IMAGE_SIZE", KERNEL_IMAGE_SIZE);
    this.levels = info.numberOr("pgtable_l5_enabled", 0n) === 0n ? LEVELS : LEVELS_LA57;
    this.physBase = info.has("NUMBER(phys_base)") ? info.number("phys_base") : physBaseOf(dump);
    this.kernelOffset = info.kernelOffset;
  }

  /** The address at run time of an address of the vmlinux. */
  relocate(linkAddress: bigint): bigint {
    return BigInt.asUintN(64, linkAddress + this.kernelOffset);
  }

  /** Throws DumpError when nothing is mapped there. */
  async translate(virtual: bigint): Promise<Translation> {
    return this.linear(virtual) ?? (await this.walk(virtual));
  }

  /** Reads up to READ_MAX bytes at a virtual address. Throws DumpError. */
  async read(virtual: bigint, length: number, into?: Uint8Array): Promise<Uint8Array> {
    if (length > READ_MAX || virtual + BigInt(length) > 1n << 64n) {
      throw new DumpError(this.dump.name, `nothing has ${length} bytes at ${hex(virtual)}`, ADVICE_DAMAGED);
    }
    const first = await this.translate(virtual);
    if (first.contiguous >= length) return this.dump.read(first.physical, length, into);
    const bytes = into ?? new Uint8Array(length);
    for (let done = 0, next = first; done < length; ) {
      const { physical } = next;
      let count = Math.min(next.contiguous, length - done);
      // Pages that are neighbours in physical memory too are read at once.
      for (; done + count < length; count += Math.min(next.contiguous, length - done - count)) {
        next = await this.translate(virtual + BigInt(done + count));
        if (next.physical !== physical + count) break;
      }
      const place = bytes.subarray(done, done + count);
      const part = await this.dump.read(physical, count, place);
      if (part !== place) place.set(part);
      done += count;
    }
    return bytes;
  }

  async readU64(virtual: bigint): Promise<bigint> {
    const bytes = await this.read(virtual, 8);
    return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  }

  async readU32(virtual: bigint): Promise<number> {
    const bytes = await this.read(virtual, 4);
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  }

  /** Translates by the page tables alone. */
  async walk(virtual: bigint, walked: Walked | null = null): Promise<Translation> {
    const info = this.dump.vmcoreinfo;
    const bits = Number(this.levels[0]![0] + INDEX_BITS);
    const sign = BigInt.asUintN(64, BigInt.asIntN(bits, virtual));
    if (sign !== virtual) {
      const what = `${hex(virtual)} is no canonical address (${bits} bits, sign extended)`;
      throw new DumpError(this.dump.name, what, ADVICE_DAMAGED);
    }
    const root = info.has("SYMBOL(init_top_pgt)") ? "init_top_pgt" : "swapper_pg_dir";
    const mask = PTE_PFN_MASK & ~info.numberOr("sme_mask", 0n);
    let table = this.imageToPhysical(info.symbol(root));
    for (const [depth, [shift, level]] of this.levels.entries()) {
      const index = Number((virtual >> shift) & 511n);
      const entry = await this.entry(depth, table, index);
      walked?.(level, table + index * 8, entry);
      if ((entry & PRESENT) === 0n) {
        const what = `virtual address ${hex(virtual)} is not mapped (${level} ${index} is ${hex(entry)})`;
        throw new DumpError(
          this.dump.name,
          what,
          "The address comes from damaged memory, or its page was never there.",
        );
      }
      const leaf = level === "PTE" || ((level === "PUD" || level === "PMD") && (entry & LARGE) !== 0n);
      const size = 1n << shift;
      if (leaf) {
        const within = virtual & (size - 1n);
        const base = entry & mask & ~(size - 1n);
        return { physical: Number(base + within), contiguous: Number(size - within) };
      }
      table = Number(entry & mask);
    }
    throw new Error("the lowest level is always a leaf");
  }

  /** An entry of the table at a physical address. */
  private async entry(depth: number, table: number, index: number): Promise<bigint> {
    const kept = this.tables[depth];
    if (kept?.at === table) return kept.view.getBigUint64(index * 8, true);
    let bytes: Uint8Array;
    try {
      bytes = await this.dump.read(table, TABLE_SIZE);
    } catch (error) {
      if (!(error instanceof DumpError)) throw error;
      // A dump that was cut off may have the entry, though not the whole table.
      bytes = await this.dump.read(table + index * 8, 8);
      return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    this.tables[depth] = { at: table, view };
    return view.getBigUint64(index * 8, true);
  }

  /** Image and direct map, by arithmetic; null elsewhere. */
  private linear(virtual: bigint): Translation | null {
    if (virtual >= START_KERNEL_MAP && virtual < this.imageEnd) {
      return { physical: this.imageToPhysical(virtual), contiguous: Number(this.imageEnd - virtual) };
    }
    for (const { virtual: start, physical, size } of this.dump.mappings) {
      const within = virtual - start;
      if (within < 0n || within >= BigInt(size)) continue;
      return { physical: physical + Number(within), contiguous: size - Number(within) };
    }
    return null;
  }

  /**
   * The result wraps at 2^52 as the kernel's own sum would at 2^64: phys_base is "negative" when loaded
   * low.
   */
  private imageToPhysical(virtual: bigint): number {
    return Number(BigInt.asUintN(52, virtual - START_KERNEL_MAP + this.physBase));
  }
}

/**
 * phys_base by the dump's own headers, for kernels before 4.10 (which have no NUMBER(phys_base)) and dumps
 * without VMCOREINFO: that of the format, or what the mapping of the image tells; 0 when nothing does.
 */
export function physBaseOf(dump: KernelDump): bigint {
  if (dump.physBase !== null) return dump.physBase;
  const image = dump.mappings.find(({ virtual }) => virtual >= START_KERNEL_MAP);
  return image === undefined ? 0n : BigInt(image.physical) - (image.virtual - START_KERNEL_MAP);
}

/**
 * A window over an array in virtual memory: small reads in order cost one large read a window, and no more
 * memory than one window, however long the array says it is.
 */
export class VirtualArray {
  private window: Uint8Array = new Uint8Array(0);
  private start = 0;

  constructor(
    private readonly space: AddressSpace,
    private readonly address: bigint,
    /** Bytes. */
    readonly length: number,
  ) {}

  /**
   * `length` bytes (WINDOW_SIZE at most) from `offset`; the caller has checked that they lie inside the
   * array.
   */
  async read(offset: number, length: number): Promise<DataView> {
    if (offset < this.start || offset + length > this.start + this.window.length)
      await this.load(offset, length);
    return new DataView(this.window.buffer, this.window.byteOffset + offset - this.start, length);
  }

  private async load(offset: number, length: number): Promise<void> {
    const wanted = Math.max(length, Math.min(WINDOW_SIZE, this.length - offset));
    try {
      this.window = await this.space.read(this.address + BigInt(offset), wanted);
    } catch (error) {
      if (!(error instanceof DumpError) || wanted === length) throw error;
      // The rest of the window is not in the dump: what was asked for may be.
      this.window = await this.space.read(this.address + BigInt(offset), length);
    }
    this.start = offset;
  }
}
