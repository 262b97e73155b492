/**
 * What VMCOREINFO says of a kernel, taken from its vmlinux (-x), or from a file made of that (-g, -i). The
 * lines, their order and the names that older kernels have instead are makedumpfile's own.
 */
import type { ByteSource } from "../dump/bytes.ts";
import { DumpError, hex } from "../dump/error.ts";
import { UTSNAME, UTSNAME_LENGTH } from "../dump/kdump-header.ts";
import { cString } from "../dump/notes.ts";
import { VmcoreInfo } from "../dump/vmcoreinfo.ts";
import { DebugInfo } from "../dwarf/debug-info.ts";
import { ElfFile } from "../dwarf/elf.ts";
import type { Entry } from "../dwarf/entries.ts";
import type { Wanted } from "../dwarf/scan.ts";

/** sysconf(_SC_PAGE_SIZE) of x86_64. */
const PAGE_SIZE = 4096;
/** makedumpfile's FOUND_ARRAY_TYPE: an array, of whatever length. */
const FOUND_ARRAY_TYPE = (1n << 63n) - 2n;
/** MAX_PHYSMEM_BITS and SECTION_SIZE_BITS of x86_64 with 4-level tables. */
const MAX_PHYSMEM_BITS = 46;
const SECTION_SIZE_BITS = 27;
const ADVICE = "Give the vmlinux with debugging information of the kernel that crashed.";

const SYMBOLS = [
  ..."mem_map vmem_map mem_section pkmap_count system_utsname init_uts_ns _stext swapper_pg_dir".split(" "),
  ..."init_level4_pgt level4_kernel_pgt init_top_pgt vmlist vmap_area_list node_online_map".split(" "),
  ..."node_states node_data pgdat_list contig_page_data prb clear_seq log_buf log_buf_len".split(" "),
  ..."log_end log_first_idx clear_idx log_next_idx max_pfn high_memory".split(" "),
  ..."node_remap_start_vaddr node_remap_end_vaddr node_remap_start_pfn vmemmap_list".split(" "),
  ..."mmu_psize_defs mmu_vmemmap_psize cpu_pgd demote_segment_4k cur_cpu_spec free_huge_page".split(" "),
];

/** A kernel's log: since 5.10, since 3.11, before. The first whose structure there is. */
const LOGS = [
  {
    structure: "printk_ringbuffer",
    sizes: ["printk_ringbuffer", "prb_desc", "printk_info", "latched_seq"],
    offsets: [
      ..."printk_ringbuffer.desc_ring printk_ringbuffer.text_data_ring".split(" "),
      ..."prb_desc_ring.count_bits prb_desc_ring.descs prb_desc_ring.infos".split(" "),
      ..."prb_desc_ring.head_id prb_desc_ring.tail_id prb_desc.state_var".split(" "),
      ..."prb_desc.text_blk_lpos prb_data_blk_lpos.begin prb_data_blk_lpos.next".split(" "),
      ..."prb_data_ring.size_bits prb_data_ring.data printk_info.ts_nsec".split(" "),
      ..."printk_info.text_len atomic_long_t.counter latched_seq.val".split(" "),
    ],
  },
  {
    structure: "printk_log",
    sizes: ["printk_log"],
    offsets: ["printk_log.ts_nsec", "printk_log.len", "printk_log.text_len"],
  },
  { structure: "log", sizes: ["log"], offsets: ["log.ts_nsec", "log.len", "log.text_len"] },
];

const SIZES = [
  ..."page mem_section pglist_data zone free_area list_head node_memblk_s nodemask_t".split(" "),
  ..."pageflags (log) vmemmap_backing mmu_psize_def".split(" "),
];
/** Of these the name is a typedef's. */
const TYPEDEFS = ["nodemask_t", "pageflags"];

const OFFSETS = [
  ..."page.flags page._refcount page.mapping page.lru page._mapcount page.private".split(" "),
  ..."page.compound_dtor page.compound_order page.compound_head".split(" "),
  ..."mem_section.section_mem_map pglist_data.node_zones pglist_data.nr_zones".split(" "),
  ..."pglist_data.node_mem_map pglist_data.node_start_pfn pglist_data.node_spanned_pages".split(" "),
  ..."pglist_data.pgdat_next zone.free_pages zone.free_area zone.vm_stat zone.spanned_pages".split(" "),
  ..."free_area.free_list list_head.next list_head.prev node_memblk_s.start_paddr".split(" "),
  ..."node_memblk_s.size node_memblk_s.nid vm_struct.addr vmap_area.va_start".split(" "),
  ..."vmap_area.list (log) vmemmap_backing.phys vmemmap_backing.virt_addr".split(" "),
  ..."vmemmap_backing.list mmu_psize_def.shift cpu_spec.mmu_features uts_namespace.name".split(" "),
];

const LENGTHS = [
  ..."node_data pgdat_list mem_section node_remap_start_pfn zone.free_area".split(" "),
  "free_area.free_list",
];

const NUMBERS = [
  ..."NR_FREE_PAGES N_ONLINE pgtable_l5_enabled PG_lru PG_private PG_head_mask PG_swapcache".split(" "),
  ..."PG_swapbacked PG_buddy PG_slab PG_hwpoison HUGETLB_PAGE_DTOR".split(" "),
];
/** Bit numbers that give PG_head_mask where no enumerator has it. */
const HEADS = ["PG_head", "PG_compound"];

/** The typedef whose source file tells how many levels the page tables have; LEN_SRCFILE less the NUL. */
const SOURCE_OF = "pud_t";
const SOURCE_MAX = 99;

const structures = (members: readonly string[]): string[] => members.map((it) => it.split(".")[0]!);

const WANTED: Wanted = {
  types: [
    ...new Set([
      ...SIZES,
      SOURCE_OF,
      ...structures([...OFFSETS, ...LENGTHS.filter((it) => it.includes("."))]),
      ...LOGS.flatMap(({ sizes, offsets }) => [...sizes, ...structures(offsets)]),
    ]),
  ],
  variables: LENGTHS.filter((it) => !it.includes(".")),
  enumerators: [...NUMBERS, ...HEADS],
};

/** Types and symbols of a vmlinux: those that VMCOREINFO names, and others that were asked for. */
export class KernelTypes {
  private constructor(
    readonly elf: ElfFile,
    readonly debug: DebugInfo,
    /** Addresses at link time. */
    readonly symbols: ReadonlyMap<string, bigint>,
  ) {}

  /** Throws DumpError when it is no vmlinux with symbols and debugging information. */
  static async open(file: ByteSource, names: { types: string[]; variables: string[] }): Promise<KernelTypes> {
    const elf = await ElfFile.open(file);
    const debug = await DebugInfo.open(elf);
    const symbols = await elf.symbols([...SYMBOLS, ...names.variables]);
    const both = (a: readonly string[], b: readonly string[]) => [...new Set([...a, ...b])];
    await debug.find({
      types: both(WANTED.types, names.types),
      variables: both(WANTED.variables, names.variables),
      enumerators: WANTED.enumerators,
    });
    return new KernelTypes(elf, debug, symbols);
  }

  /** The file that -g writes. Throws DumpError when it is not the vmlinux of a kernel. */
  async vmcoreinfo(): Promise<string> {
    const info = new VmcoreInfo(this.elf.name, await this.lines(0n));
    const release = await this.release();
    checkMemoryType(info);
    return `OSRELEASE=${release}\nPAGESIZE=${PAGE_SIZE}\n${info.text}`;
  }

  /** Its lines of symbols, sizes, offsets, lengths and numbers; `shift` is what KASLR adds to symbols. */
  async lines(shift: bigint): Promise<string> {
    const lines: string[] = [];
    const put = (kind: string, name: string, value: number | bigint | string | null) => {
      if (value !== null) lines.push(`${kind}(${name})=${kind === "SYMBOL" ? value.toString(16) : value}\n`);
    };
    for (const name of SYMBOLS) {
      const address = this.symbols.get(name) ?? 0n;
      if (address !== 0n) put("SYMBOL", name, BigInt.asUintN(64, address + shift));
    }
    let log = LOGS.at(-1)!;
    for (const it of [...LOGS].reverse()) if (await this.debug.structure(it.structure)) log = it;
    for (const name of SIZES.flatMap((it) => (it === "(log)" ? log.sizes : [it]))) {
      put("SIZE", name, await this.size(name));
    }
    for (const name of OFFSETS.flatMap((it) => (it === "(log)" ? log.offsets : [it]))) {
      const offset = await this.offset(name);
      // Linux 4.6 gave the member another name.
      if (offset === null && name === "page._refcount")
        put("OFFSET", "page._count", await this.offset("page._count"));
      else put("OFFSET", name, offset);
    }
    for (const name of LENGTHS) put("LENGTH", name, await this.length(name));
    for (const name of NUMBERS) put("NUMBER", name, this.number(name));
    put("SRCFILE", SOURCE_OF, (await this.debug.typedefFile(SOURCE_OF))?.slice(0, SOURCE_MAX) ?? null);
    return lines.join("");
  }

  private async size(name: string): Promise<number | null> {
    const type = await (TYPEDEFS.includes(name) ? this.debug.typedef(name) : this.debug.structure(name));
    return type === null ? null : this.debug.size(type);
  }

  private async member(name: string): Promise<{ offset: number; entry: Entry } | null> {
    const [structure = "", member = ""] = name.split(".");
    const type = await this.debug.structure(structure);
    return type === null ? null : this.debug.member(type, member);
  }

  private async offset(name: string): Promise<number | null> {
    return (await this.member(name))?.offset ?? null;
  }

  private async length(name: string): Promise<number | bigint | null> {
    const variable = !name.includes(".");
    if (variable && !this.symbols.has(name)) return null;
    const entry = variable ? await this.debug.variable(name) : ((await this.member(name))?.entry ?? null);
    if (entry === null) return null;
    const { array, length } = await this.debug.shape(entry);
    if (!array) return null;
    return name === "node_data" ? FOUND_ARRAY_TYPE : length;
  }

  private number(name: string): bigint | null {
    const value = this.debug.enumerator(name);
    if (value !== null || name !== "PG_head_mask") return value;
    const bit = HEADS.map((it) => this.debug.enumerator(it)).find((it) => it !== null);
    return bit === undefined || bit === null ? null : 1n << BigInt.asUintN(6, bit);
  }

  /** The release in the file's own utsname. Throws DumpError when it has none. */
  async release(): Promise<string> {
    const address = utsnameOf(new VmcoreInfo(this.elf.name, await this.lines(0n)));
    const bytes = await this.elf.readVirtual(address, UTSNAME.length * UTSNAME_LENGTH);
    if (bytes === null) {
      const what = `Can't convert vaddr (${address.toString(16)}) of utsname to an offset.`;
      throw new DumpError(this.elf.name, what, ADVICE);
    }
    return releaseIn(bytes);
  }
}

/** The address of the kernel's utsname. Throws DumpError when the lines do not tell. */
export function utsnameOf(info: VmcoreInfo): bigint {
  if (info.has("SYMBOL(system_utsname)")) return info.symbol("system_utsname");
  if (!info.has("SYMBOL(init_uts_ns)")) {
    throw new DumpError(info.name, "Can't get the symbol of system_utsname.", ADVICE);
  }
  const known = info.has("OFFSET(uts_namespace.name)");
  // Before the name there once was a counter.
  return info.symbol("init_uts_ns") + BigInt(known ? info.offset("uts_namespace.name") : 4);
}

/** A release's version and patchlevel, as numbers that compare: 5015 for "5.15.0-1-amd64", 0 for none. */
export function releaseNumber(release: string): number {
  const [, version = "0", patchlevel = "0"] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  return Number(version) * 1000 + Number(patchlevel);
}

/** The member `release` of a utsname. */
export function releaseIn(utsname: Uint8Array): string {
  const index = UTSNAME.indexOf("release");
  return cString(utsname.subarray(index * UTSNAME_LENGTH, (index + 1) * UTSNAME_LENGTH));
}

/** Throws DumpError when the lines describe no way from a page to its struct. */
function checkMemoryType(info: VmcoreInfo): void {
  const page = ["SIZE(page)", "OFFSET(page.flags)", "OFFSET(page.mapping)"].every((key) => info.has(key));
  const counted = info.has("OFFSET(page._refcount)") || info.has("OFFSET(page._count)");
  const nodes =
    info.has("OFFSET(pglist_data.node_mem_map)") &&
    (info.has("LENGTH(node_data)") ||
      info.has("LENGTH(pgdat_list)") ||
      info.has("OFFSET(pglist_data.pgdat_next)"));
  const sparse = ["SYMBOL(mem_section)", "SIZE(mem_section)", "OFFSET(mem_section.section_mem_map)"];
  const map = nodes || sparse.every((key) => info.has(key)) || info.has("SYMBOL(mem_map)");
  if (!(page && counted && map)) throw new DumpError(info.name, "Can't find the memory type.", ADVICE);
}

/** The lines of a VMCOREINFO file with KASLR's shift in its symbols. Throws DumpError when it is none. */
export function shifted(info: VmcoreInfo, shift: bigint): string {
  if (!info.has("OSRELEASE") || !info.has("PAGESIZE")) {
    throw new DumpError(
      info.name,
      `Invalid format in ${info.name}`,
      "Give a file that makedumpfile -g wrote.",
    );
  }
  return info.keys
    .map((key) => {
      const name = /^SYMBOL\((.*)\)$/.exec(key)?.[1];
      const value = name === undefined ? info.value(key) : hex(info.symbol(name) + shift).slice(2);
      return `${key}=${value}\n`;
    })
    .join("");
}

/** Both: where they differ, `text` counts; and what no vmlinux says, but x86_64's kernels have. */
export function merged(own: VmcoreInfo, text: string, release: string): VmcoreInfo {
  const info = new VmcoreInfo(own.name, `${own.text}\n${text}`);
  const more: string[] = [];
  if (!info.has("OSRELEASE")) more.push(`OSRELEASE=${release}`);
  if (!info.has("PAGESIZE")) more.push(`PAGESIZE=${PAGE_SIZE}`);
  if (info.has("SIZE(mem_section)") && !info.has("LENGTH(mem_section)")) {
    const bits = Number(info.numberOr("MAX_PHYSMEM_BITS", BigInt(MAX_PHYSMEM_BITS))) - SECTION_SIZE_BITS;
    const perRoot = Math.max(1, Math.floor(PAGE_SIZE / Math.max(1, info.size("mem_section"))));
    more.push(`LENGTH(mem_section)=${Math.ceil(2 ** bits / perRoot)}`);
  }
  if (!info.has("NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)") && !info.has("NUMBER(PG_buddy)")) {
    const typed = releaseNumber(info.value("OSRELEASE") ?? release) >= 4018;
    more.push(`NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=${typed ? -129 : -128}`);
  }
  return more.length === 0 ? info : new VmcoreInfo(own.name, `${info.text}\n${more.join("\n")}\n`);
}
