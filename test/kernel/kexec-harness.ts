/**
 * Compiles a piece of the kernel with chosen modules replaced, and instantiates it over a memory of its own:
 * enough of the link step's imports to run code that calls no function pointers.
 */

import type { Target } from "../../kernel-wasm/abi/dsl.ts";
import { runAsc } from "../../tools/build/compile.ts";
import type { Layout } from "../../tools/build/layout/layout.ts";
import { loadLayout } from "../../tools/build/specs.ts";
import { collectStrings } from "../support/strings.ts";

/**
 * Physical address of the module's data; its image starts IMAGE_START, both in low memory of the test's
 * machine.
 */
export const BASE = 0x180000;
export const IMAGE_START = 0x100000;
const MEMORY_PAGES = 128;
/** Allocations are served from here upwards. */
const HEAP = 0x300000;
const HEAP_END = 0x600000;

const LEVELS = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];
const parameters = (type: string, extra = "") =>
  Array.from({ length: 6 }, (_, i) => `a${i}${type}${extra}`).join(", ");

/** Modules that many pieces import: the log, allocators and the clock, served by the test. */
export const FAKES: Record<string, string> = {
  "kernel/printk/printk.ts": `
    @external("test", "log") declare function log(level: i32, fmt: usize, ${parameters(": u64")}): void;
    ${LEVELS.map(
      (name, level) =>
        `export function pr_${name}(fmt: usize, ${parameters(": u64", " = 0")}): void {
          log(${level}, fmt, ${parameters("")});
        }`,
    ).join("\n")}`,
  "mm/page_alloc.ts": `
    import { page } from "../include/generated/structs";
    @external("test", "alloc") declare function alloc(size: usize): usize;
    @external("test", "free_reserved") declare function free_reserved(page: usize): void;
    export function alloc_pages_exact(size: usize, gfp: u32): usize { return alloc(size); }
    export function free_pages_exact(at: usize, size: usize): void {}
    export function get_zeroed_page(gfp: u32): usize { return alloc(4096); }
    export function __get_free_page(gfp: u32): usize { return alloc(4096); }
    export function free_page(at: usize): void {}
    export function free_reserved_page(p: page): void { free_reserved(changetype<usize>(p)); }`,
  "mm/page.ts": "export function get_order(size: usize): u32 { return 0; }",
  "mm/slub.ts": `
    @external("test", "alloc") declare function alloc(size: usize): usize;
    export function kmalloc(size: usize, gfp: u32): usize { return alloc(size); }
    export function kzalloc(size: usize, gfp: u32): usize { return alloc(size); }
    export function kfree(at: usize): void {}`,
  "lib/bug.ts": `
    export function BUG(file: usize, line: i32): void { unreachable(); }
    export function BUG_ON(condition: bool, file: usize, line: i32): void { if (condition) unreachable(); }
    export function WARN_ON(condition: bool, file: usize, line: i32): bool { return condition; }
    export function WARN(condition: bool, file: usize, line: i32, fmt: usize, arg: u64 = 0): bool {
      return condition;
    }`,
  "kernel/module/main.ts": "export function print_modules(): void {}",
  "kernel/module/kallsyms.ts": `
    import { elf64_sym, module_ } from "../../include/generated/structs";
    export function __module_address(addr: u64): module_ { return changetype<module_>(0); }
    export function is_module_text_address(addr: u64): bool { return false; }
    export function find_kallsyms_symbol(mod: module_, addr: u64): u32 { return 0; }
    export function module_symbol(mod: module_, index: u32): elf64_sym { return changetype<elf64_sym>(0); }
    export function module_symbol_name(mod: module_, index: u32): usize { return 0; }
    export function module_symbol_size(mod: module_, index: u32): u64 { return 0; }`,
  "kernel/time.ts": `
    export function ktime_get_real_seconds(): u64 { return 1700000000; }
    export function mdelay(ms: i64): void {}`,
  "kernel/cpu.ts": "export function num_online_cpus(): u32 { return 1; }",
  "arch/kernel/nmi.ts": `
    import { nmiaction } from "../../include/generated/structs";
    export function register_nmi_handler(type: u32, action: nmiaction, handler: u64, name: usize): void {}`,
  // Mapped where the direct map has it: an area is one run of memory here.
  "mm/vmalloc.ts": `
    export function vfree(addr: u64): void {}
    export function vm_piece(addr: u64, n: usize): usize { return n; }
    export function memcpy_from_vm(to: usize, from: u64, n: usize): void { memory.copy(to, pa(from), n); }
    export function vmap(pages: usize, count: u32, flags: u64, prot: u64): u64 {
      return va((pa(load<u64>(pages)) >> 6) << 12);
    }
    export function vunmap(addr: u64): void {}`,
  "arch/lib/usercopy.ts": `
    export function copy_from_user(to: usize, from: u64, n: usize): usize {
      memory.copy(to, <usize>from, n);
      return 0;
    }
    export function copy_to_buf(to: u64, from: usize, n: usize): usize {
      memory.copy(<usize>to, from, n);
      return 0;
    }`,
};

export interface Piece {
  exports: Record<string, (...args: number[]) => number>;
  memory: WebAssembly.Memory;
  bytes: Uint8Array;
  view: DataView;
  layout: Layout;
  /** What was logged since the last call, without the newlines. */
  log(): string[];
  /** Address of a symbol, of its struct's member. */
  at(symbol: string): number;
  text(address: number): string;
  /** Bytes of new, zeroed memory. */
  alloc(size: number): number;
  /** Addresses of link-made symbols, to be set by the test. */
  linkSymbols: Record<string, number>;
  /** All that was allocated may be allocated again. */
  reset(): void;
}

/** printf as far as the tested messages need it. */
function format(text: string, args: bigint[], string: (address: number) => string): string {
  let next = 0;
  return text.replace(/%(0?\d*)(?:l|ll)?([duxcs])/g, (_, width: string, kind: string) => {
    const value = args[next++] ?? 0n;
    if (kind === "s") return string(Number(value));
    if (kind === "c") return String.fromCharCode(Number(value));
    const digits = value.toString(kind === "x" ? 16 : 10);
    return width ? digits.padStart(Number(width), width.startsWith("0") ? "0" : " ") : digits;
  });
}

/**
 * `source` is the piece's entry, as if it stood in kernel-wasm/; `fakes` replace modules, by path below
 * kernel-wasm/.
 */
export async function compilePiece(
  target: Target,
  source: string,
  fakes: Record<string, string>,
  imports: Record<string, (...args: never[]) => unknown> = {},
): Promise<Piece> {
  const layout = await loadLayout(target);
  const files: Record<string, string> = { "kernel-wasm/test-entry.ts": source };
  for (const [path, text] of Object.entries(fakes)) files[`kernel-wasm/${path}`] = text;
  const entries = ["kernel-wasm/include/link.ts", "kernel-wasm/test-entry.ts"];
  if (target !== "purgatory") entries.splice(1, 0, "kernel-wasm/include/addr.ts");
  const { wasm } = await runAsc(target, layout, entries, files);
  const module = new WebAssembly.Module(wasm as BufferSource);
  const strings = collectStrings(module);

  const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: 65536, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  const view = new DataView(memory.buffer);
  const text = (address: number): string => {
    let end = address;
    while (bytes[end]) end++;
    return new TextDecoder().decode(bytes.slice(address, end));
  };
  let heap = HEAP;
  const alloc = (size: number): number => {
    const at = heap;
    heap += Math.ceil(size / 4096) * 4096;
    if (heap > HEAP_END) return 0;
    bytes.fill(0, at, at + size);
    return at;
  };
  const lines: string[] = [];
  const linkSymbols: Record<string, number> = {};
  const link = new Proxy(
    {},
    {
      get: (_, name: string) => {
        if (name === "sym__text") return () => IMAGE_START;
        if (name === "sym__end") return () => BASE + layout.dataEnd;
        if (name === "text_address") return () => 0n;
        return () => linkSymbols[name] ?? 0;
      },
    },
  ) as WebAssembly.ModuleImports;
  const test = {
    log: (level: number, fmt: number, ...args: bigint[]) =>
      lines.push(`<${level}>${format(text(fmt), args, text).replace(/\n$/, "")}`),
    alloc,
    free_reserved: () => {},
    ...imports,
  };
  const fault = () => {
    throw new Error("page fault");
  };
  const instance = new WebAssembly.Instance(module, {
    env: { memory, __base: BASE, __phys_base: 0, abort: fault },
    link,
    string: strings.imports(BASE),
    hw: { page_fault: fault, pause: fault, ...imports },
    test: test as unknown as WebAssembly.ModuleImports,
  });
  bytes.set(strings.bytes, BASE - strings.bytes.length);
  bytes.set(layout.data, BASE);
  return {
    exports: instance.exports as unknown as Piece["exports"],
    memory,
    bytes,
    view,
    layout,
    log: () => lines.splice(0),
    at: (symbol) => BASE + (layout.symbols.get(symbol)?.offset ?? Number.NaN),
    text,
    alloc,
    linkSymbols,
    reset: () => {
      heap = HEAP;
    },
  };
}
