/**
 * The kernel's memory management alone, for its tests: real mm, arch/mm and lib sources over a small memory,
 * booted from an e820 map. What it would call of the rest of the kernel (printk, panic, the trace) stands in
 * here.
 */
import type { Target } from "../../kernel-wasm/abi/dsl.ts";
import { runAsc } from "../../tools/build/compile.ts";
import type { Layout } from "../../tools/build/layout/layout.ts";
import { loadLayout } from "../../tools/build/specs.ts";
import { collectStrings } from "../support/strings.ts";

const ENTRY = `
import { e820__end_of_ram, e820__memblock_setup, e820__memory_setup, e820__reserve_resources,
  e820__reserve_resources_late, early_reserve_memory, insert_kernel_resources, trim_bios_range,
} from "../../kernel-wasm/arch/kernel/e820";
import { setup_per_cpu_areas } from "../../kernel-wasm/arch/kernel/setup_percpu";
import { init_mem_mapping, paging_init } from "../../kernel-wasm/arch/mm/init";
import {
  follow_user, free_user_pages, mk_pte, pgd_alloc, pgd_free, slow_virt_to_phys, unmap_user_page,
  user_pte_alloc,
} from "../../kernel-wasm/arch/mm/pgtable";
import {
  idr, kmem_cache as kmem_cache_t, rb_node, rb_root, resource,
} from "../../kernel-wasm/include/generated/structs";
import {
  BSS_START, DATA_END, PERCPU_TEMPLATE, sym, this_cpu,
} from "../../kernel-wasm/include/generated/symbols";
import {
  next_resource, resource_depth, resource_init, insert_resource,
} from "../../kernel-wasm/kernel/resource";
import {
  idr_alloc, idr_alloc_cyclic, idr_find, idr_get_next_id, idr_init, idr_remove,
} from "../../kernel-wasm/lib/idr";
import { rb_erase, rb_first, rb_insert_color, rb_link_node, rb_next } from "../../kernel-wasm/lib/rbtree";
import { radix_tree_init } from "../../kernel-wasm/lib/xarray";
import { irqs_disabled, local_irq_enable } from "../../kernel-wasm/kernel/irqflags";
import { preempt_count } from "../../kernel-wasm/kernel/locking/preempt";
import { mutex_is_locked } from "../../kernel-wasm/kernel/locking/mutex";
import { spin_is_locked } from "../../kernel-wasm/kernel/locking/spinlock";
import { check_zone, take_page_off_buddy } from "../../kernel-wasm/mm/buddy";
import { __alloc_percpu, free_percpu, per_cpu_ptr } from "../../kernel-wasm/mm/percpu";
import { kfree, kmalloc, ksize, kzalloc } from "../../kernel-wasm/mm/kmalloc";
import { memblock_phys_alloc_range, memblock_phys_free, memblock_reserve, memblock_reserved_size,
  memblock_set_bottom_up } from "../../kernel-wasm/mm/memblock";
import { build_all_zonelists, mem_init } from "../../kernel-wasm/mm/mm_init";
import {
  NODE_DATA, page_to_pfn, page_zone, phys_to_page, set_page_count,
} from "../../kernel-wasm/mm/page";
import {
  __get_free_pages, alloc_pages_exact, free_pages, free_pages_exact, free_reserved_area, get_page,
  put_page,
} from "../../kernel-wasm/mm/page_alloc";
import {
  kmem_cache_alloc, kmem_cache_create, kmem_cache_destroy, kmem_cache_free, kmem_cache_init,
} from "../../kernel-wasm/mm/slub";
import { nr_free_pages, totalram_pages } from "../../kernel-wasm/mm/vmstat";
import { kstrtoint, memparse, strcmp, strrchr, strstr } from "../../kernel-wasm/lib/string";

@external("test", "turn") declare function give_turn(): void;
/** Where another CPU may go on, or an interrupt come (mm-interleave.ts). */
export function turn(): void { give_turn(); }
export function boot(cpus: u32): void {
  memory.fill(__base + BSS_START, 0, DATA_END - BSS_START);
  sym.nr_cpu_ids = cpus;
  sym.phys_base = <u64>__phys_base;
  sym.__per_cpu_offset[0] = 0xffff888000000000 + <u64>(__base + PERCPU_TEMPLATE);
  this_cpu.current_task = sym.init_task;
}
export function boot_params(): usize { return changetype<usize>(sym.boot_params); }
export function setup(reserve: usize, size: usize): void {
  resource_init();
  e820__memory_setup();
  insert_kernel_resources();
  trim_bios_range();
  e820__end_of_ram();
  early_reserve_memory();
  e820__memblock_setup();
  init_mem_mapping();
  if (size) memblock_reserve(reserve, size);
  paging_init();
  e820__reserve_resources();
  setup_per_cpu_areas();
  build_all_zonelists();
  mem_init();
  kmem_cache_init();
  radix_tree_init();
  e820__reserve_resources_late();
}
export function early_alloc(size: u32, align: u32, start: u32, end: u32, bottom_up: bool): u32 {
  memblock_set_bottom_up(bottom_up);
  return <u32>memblock_phys_alloc_range(size, align, start, end);
}
export function early_free(at: u32, size: u32): void { memblock_phys_free(at, size); }
/** The locks that a CPU holds, and whether its interrupts are on. */
export function locks_held(): u32 { return preempt_count() & 0xff; }
export function interrupts(): bool { return !irqs_disabled(); }
/** A CPU begins: its own current task, by whose address a mutex knows its owner, and interrupts. */
export function start_cpu(): void {
  this_cpu.current_task_va = va(changetype<usize>(sym.init_task)) + get_cpu();
  local_irq_enable();
}
export function locked(): bool {
  for (let i: usize = 0; i < 4; i++) if (spin_is_locked(NODE_DATA(0).node_zones[i].lock)) return true;
  const head = sym.slab_caches;
  for (let l = head.next; changetype<usize>(l) != changetype<usize>(head); l = l.next) {
    if (spin_is_locked(kmem_cache_t.from_list(l).node[0].list_lock)) return true;
  }
  return spin_is_locked(sym.pcpu_lock) || mutex_is_locked(sym.slab_mutex);
}
export function take_off(addr: usize): bool {
  const p = phys_to_page(addr);
  return take_page_off_buddy(page_zone(p), page_to_pfn(p));
}
export function take_back(addr: usize): void {
  const p = phys_to_page(addr);
  set_page_count(p, 1);
  put_page(p);
}
export function percpu_alloc(size: u32, align: u32): u32 { return <u32>__alloc_percpu(size, align); }
export function percpu_free(at: u32): void { free_percpu(at); }
export function percpu_at(at: u32, cpu: u32): usize { return per_cpu_ptr(at, cpu); }
export function check(): i32 {
  for (let i: usize = 0; i < 4; i++) {
    const bad = check_zone(NODE_DATA(0).node_zones[i]);
    if (bad) return bad + <i32>i * 16;
  }
  return 0;
}
export function nr_free(): u32 { return <u32>nr_free_pages(); }
export function total_ram(): u32 { return <u32>totalram_pages(); }
export function reserved_bytes(): u32 { return <u32>memblock_reserved_size(); }
export function alloc(gfp: u32, order: u32): usize { return __get_free_pages(gfp, order); }
export function free(addr: usize, order: u32): void { free_pages(addr, order); }
export function hold(addr: usize): void { get_page(phys_to_page(addr)); }
export function drop(addr: usize): void { put_page(phys_to_page(addr)); }
export function exact(size: usize, gfp: u32): usize { return alloc_pages_exact(size, gfp); }
export function exact_free(addr: usize, size: usize): void { free_pages_exact(addr, size); }
export function free_area_count(zone: u32, order: u32): u32 {
  return <u32>NODE_DATA(0).node_zones[zone].free_area[order].nr_free;
}
export function give_back(start: usize, end: usize): u32 { return <u32>free_reserved_area(start, end, 0); }
export function kmalloc_(size: usize): usize { return kmalloc(size, 0xcc0); }
export function kzalloc_(size: usize): usize { return kzalloc(size, 0xcc0); }
export function kfree_(addr: usize): void { kfree(addr); }
export function ksize_(addr: usize): usize { return ksize(addr); }
export function cache_create(size: u32, align: u32): usize {
  return changetype<usize>(kmem_cache_create(boot_params(), size, align, 0, 0));
}
export function cache_destroy(s: usize): void { kmem_cache_destroy(changetype<kmem_cache_t>(s)); }
export function cache_alloc(s: usize): usize { return kmem_cache_alloc(changetype<kmem_cache_t>(s), 0xcc0); }
export function cache_free(s: usize, o: usize): void { kmem_cache_free(changetype<kmem_cache_t>(s), o); }
export function walk(lo: u32, hi: u32): usize { return slow_virt_to_phys((<u64>hi << 32) | lo); }
export function new_pgd(): usize { return pgd_alloc(); }
export function map(pgd: usize, addr: usize, prot: u32): i32 {
  const p = __get_free_pages(0xcc0, 0);
  const pte = p ? user_pte_alloc(pgd, addr) : 0;
  if (pte) store<u64>(pte, mk_pte(phys_to_page(p), prot));
  return pte ? 0 : -12;
}
export function unmap(pgd: usize, addr: usize): void { put_page(unmap_user_page(pgd, addr)); }
export function follow(pgd: usize, addr: usize, write: bool): usize { return follow_user(pgd, addr, write); }
export function drop_pgd(pgd: usize): void { free_user_pages(pgd); pgd_free(pgd); }
export function first_resource(): usize { return changetype<usize>(sym.iomem_resource.child); }
export function following_resource(r: usize): usize {
  return changetype<usize>(next_resource(changetype<resource>(r)));
}
export function depth(r: usize): u32 { return resource_depth(changetype<resource>(r)); }
export function insert(start: u32, end: u32): i32 {
  const r = changetype<resource>(kzalloc(resource.SIZE, 0xcc0));
  r.start = start; r.end = end; r.name = boot_params();
  return insert_resource(sym.iomem_resource, r);
}
export function new_idr(): usize {
  const r = kzalloc(idr.SIZE, 0xcc0);
  idr_init(changetype<idr>(r));
  return r;
}
export function id_alloc(r: usize, p: usize, start: i32, end: i32): i32 {
  return idr_alloc(changetype<idr>(r), p, start, end);
}
export function id_cyclic(r: usize, p: usize, start: i32, end: i32): i32 {
  return idr_alloc_cyclic(changetype<idr>(r), p, start, end);
}
export function id_find(r: usize, id: u32): usize { return idr_find(changetype<idr>(r), id); }
export function id_remove(r: usize, id: u32): usize { return idr_remove(changetype<idr>(r), id); }
export function id_next(r: usize, id: u32): i32 { return idr_get_next_id(changetype<idr>(r), id); }
/** A tree of {rb_node, u64 key} objects, its root at \`root\`. */
export function tree_insert(root: usize, key: u32): usize {
  const at = kzalloc(rb_node.SIZE + 8, 0xcc0);
  store<u64>(at + rb_node.SIZE, key);
  let link = root;
  let parent: usize = 0;
  while (load<u64>(link)) {
    parent = pa(load<u64>(link));
    const left = <u64>key < load<u64>(parent + rb_node.SIZE);
    const node = changetype<rb_node>(parent);
    link = left ? rb_node.addr_of_rb_left(node) : rb_node.addr_of_rb_right(node);
  }
  rb_link_node(changetype<rb_node>(at), changetype<rb_node>(parent), link);
  rb_insert_color(changetype<rb_node>(at), changetype<rb_root>(root));
  return at;
}
export function tree_erase(root: usize, at: usize): void {
  rb_erase(changetype<rb_node>(at), changetype<rb_root>(root));
  kfree(at);
}
export function tree_first(root: usize): usize {
  return changetype<usize>(rb_first(changetype<rb_root>(root)));
}
export function tree_next(at: usize): usize { return changetype<usize>(rb_next(changetype<rb_node>(at))); }
export function tree_key(at: usize): u32 { return <u32>load<u64>(at + rb_node.SIZE); }
/** Black nodes on every way down, or 0 when they differ, a red node has a red child, or a parent is wrong. */
export function tree_height(at: usize, parent: usize): u32 {
  if (!at) return 1;
  const node = changetype<rb_node>(at);
  const black = <u32>(node.__rb_parent_color & 1);
  if (pa(node.__rb_parent_color & ~1) != parent) return 0;
  if (!black && parent && !(changetype<rb_node>(parent).__rb_parent_color & 1)) return 0;
  const l = tree_height(changetype<usize>(node.rb_left), at);
  const r = tree_height(changetype<usize>(node.rb_right), at);
  return l && l == r ? l + black : 0;
}
export function tree_root(root: usize): usize { return changetype<usize>(changetype<rb_root>(root).rb_node); }
export function strtoint(s: usize, base: u32, out: usize): i32 { return kstrtoint(s, base, out); }
export function parse_size(s: usize, endp: usize): u32 { return <u32>memparse(s, endp); }
export function compare(a: usize, b: usize): i32 { return strcmp(a, b); }
export function last_char(s: usize, c: u32): usize { return strrchr(s, <u8>c); }
export function find_text(a: usize, b: usize): usize { return strstr(a, b); }
`;

const LEVELS = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "cont"];
const PARAMS = `fmt: usize, ${[..."abcdefgh"].map((name) => `${name}: u64 = 0`).join(", ")}`;

const PRINT = "print(fmt, a, b, c, d, e, f, g, h);";

/** The kernel's sources that the test's stand in for. */
const STANDINS: Record<string, string> = {
  "kernel-wasm/kernel/printk/printk.ts": `@external("test", "print") declare function print(
  fmt: usize, a: u64, b: u64, c: u64, d: u64, e: u64, f: u64, g: u64, h: u64): void;
${LEVELS.map((name) => `export function pr_${name}(${PARAMS}): void { ${PRINT} }`).join("\n")}`,
  "kernel-wasm/kernel/panic.ts": `@external("test", "panic") declare function stop(fmt: usize): void;
export function panic(${PARAMS}): void { stop(fmt); }
export function __warn(file: usize, line: i32, caller: u64, fmt: usize, arg: u64): void { stop(fmt); }
export function add_taint(flag: u32): void {}`,
  // There is nothing to reclaim.
  "kernel-wasm/mm/kswapd.ts": "export function wake_all_kswapds(order: u32, highest: i32): void {}",
  "kernel-wasm/mm/vmscan.ts": `import { zone } from "../include/generated/structs";
export function try_to_free_pages(gfp: u32, order: u32, highest: i32): u64 { return 0; }
export function zone_reclaimable_pages(z: zone): u64 { return 0; }`,
  "kernel-wasm/lib/dump_stack.ts": "export function dump_stack(): void {}",
};

type Call = (...args: number[]) => number;

export interface MmMachine {
  /** Calls an export of ENTRY; results are unsigned. */
  call(name: string, ...args: number[]): number;
  /** The CPU that the next calls run on. */
  set_cpu(cpu: number): void;
  view: DataView;
  bytes: Uint8Array;
  layout: Layout;
  /** Where the image's data begins. */
  base: number;
  /** What another CPU's instance of the module needs. */
  instance: { wasm: Uint8Array; memory: WebAssembly.Memory; link: Record<string, number>; phys_base: number };
  log: string[];
  text(at: number): string;
}

/** Physical address and type, as in the zero page's map. */
export interface MapEntry {
  addr: number;
  size: number;
  type?: number;
}

export async function compileMm(target: Target): Promise<Awaited<ReturnType<typeof runAsc>>> {
  const files = { "test/kernel/mm-entry.ts": ENTRY, ...STANDINS };
  const layout = await loadLayout(target);
  const entries = ["kernel-wasm/include/link.ts", "kernel-wasm/include/addr.ts", "test/kernel/mm-entry.ts"];
  return runAsc(target, layout, entries, files);
}

/**
 * A machine with `size` bytes whose image lies at `image`; memory starts as `fill` bytes, to show what is not
 * cleared.
 */
export async function bootMm(
  compiled: Awaited<ReturnType<typeof compileMm>>,
  options: {
    size: number;
    image: number;
    map: MapEntry[];
    reserve?: MapEntry;
    seed?: number;
    fill?: number;
    cpus?: number;
  },
): Promise<MmMachine> {
  const { layout, wasm } = compiled;
  const module = new WebAssembly.Module(wasm as BufferSource);
  const strings = collectStrings(module);
  const memory = new WebAssembly.Memory({ initial: options.size >>> 16, maximum: 65536, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  const view = new DataView(memory.buffer);
  bytes.fill(options.fill ?? 0xaa);
  const base = (options.image + 0x1000 + strings.bytes.length + 0xfff) & ~0xfff;
  const end = base + layout.dataEnd;
  bytes.set(strings.bytes, base - strings.bytes.length);
  bytes.fill(0, base, base + layout.bssStart);
  bytes.set(layout.data, base);
  // image_header.mem_size, and stack_offset: a boot stack that is all of the module's bytes.
  view.setUint32(options.image + 0x14, end - options.image + 0x8000, true);
  view.setUint32(options.image + 0x3c, 0x1000 + 0x4000, true);
  let state = (options.seed ?? 1) >>> 0;
  let cpu = 0;
  const log: string[] = [];
  const text = (at: number): string => {
    let out = "";
    for (let i = at; bytes[i]; i++) out += String.fromCharCode(bytes[i] as number);
    return out;
  };
  const format = (fmt: string, args: bigint[]): string => {
    let at = 0;
    return fmt.replace(
      /%([-#0]*)(\d*)(?:ll|l|z)?([dusx])/g,
      (_, flags: string, width: string, kind: string) => {
        const value = args[at++] as bigint;
        if (kind === "s") return text(Number(value)).padEnd(flags.includes("-") ? Number(width) : 0);
        const digits = BigInt.asUintN(64, value).toString(kind === "x" ? 16 : 10);
        if (flags.includes("#")) return `0x${digits.padStart(Number(width) - 2, "0")}`;
        return digits.padStart(Number(width), flags.includes("0") ? "0" : " ");
      },
    );
  };
  const link: Record<string, () => number> = {
    get_sp: () => end + 0x4000,
    get_cpu: () => cpu,
    sym__text: () => options.image,
    sym__stext: () => options.image + 256,
    sym__etext: () => options.image + 0x1000,
    // The sources run alone: there is no module in the image whose bytes could be given back.
    sym___wasm_start: () => options.image + 0x1000,
    sym___wasm_end: () => options.image + 0x1000,
    sym__end: () => end,
  };
  const imports = {
    env: { memory, __base: base, __phys_base: options.image - 0x100000, abort: () => {} },
    link,
    string: strings.imports(base),
    hw: {
      page_fault: (lo: number, hi: number) => {
        throw new Error(
          `page fault at ${(hi >>> 0).toString(16)}${(lo >>> 0).toString(16).padStart(8, "0")}`,
        );
      },
      write_cr3: () => {},
      // Nothing else runs: who waits for a lock here waits for itself.
      pause: () => {
        throw new Error("deadlock");
      },
      rdrand: () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state ^ (state >>> 16);
      },
    },
    test: {
      turn: () => {},
      print: (fmt: number, ...args: bigint[]) => void log.push(format(text(fmt), args)),
      panic: (fmt: number) => {
        throw new Error(`panic: ${text(fmt)}`);
      },
    },
  };
  const { instance } = await WebAssembly.instantiate(wasm, imports as unknown as WebAssembly.Imports);
  const raw = instance.exports as Record<string, Call>;
  const call = (name: string, ...args: number[]): number => (raw[name] as Call)(...args) >>> 0;
  call("boot", options.cpus ?? 1);
  const params = call("boot_params") >>> 0;
  bytes[params + 0x1e8] = options.map.length;
  options.map.forEach((entry, i) => {
    const at = params + 0x2d0 + i * 20;
    view.setBigUint64(at, BigInt(entry.addr), true);
    view.setBigUint64(at + 8, BigInt(entry.size), true);
    view.setUint32(at + 16, entry.type ?? 1, true);
  });
  call("setup", options.reserve?.addr ?? 0, options.reserve?.size ?? 0);
  const set_cpu = (number: number): void => void (cpu = number);
  const values = Object.fromEntries(Object.entries(link).map(([name, value]) => [name, value()]));
  const others = { wasm, memory, link: values, phys_base: imports.env.__phys_base };
  const lines = log.join("").split("\n");
  return { call, set_cpu, view, bytes, layout, base, instance: others, log: lines, text };
}
