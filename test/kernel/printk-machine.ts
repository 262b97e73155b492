/**
 * A machine for kernel code under test that needs no tasks: compiles a source over production's layout with a
 * small log, and stands in for the link step and the hardware. Text addresses are fake functions in an area
 * of their own.
 */
import { config } from "../../kernel-wasm/abi/config.ts";
import { runAsc } from "../../tools/build/compile.ts";
import { Layout } from "../../tools/build/layout/layout.ts";
import { loadSpecs } from "../../tools/build/specs.ts";
import { collectStrings } from "../support/strings.ts";

/** Physical addresses, at phys_base 0: fake text, then the image's data. */
const TEXT = 0x100000;
const TEXT_SIZE = 0x10000;
const BASE = 0x200000;
const PERCPU = 0x180000;
const SCRATCH = 0x190000;
const LINK = 0xffffffff80000000n;
const TEXT_MAGIC = 0x00841f0f;

type Kernel = Record<string, (...args: number[]) => number>;

export interface TestMachine {
  kernel: Kernel;
  layout: Layout;
  memory: Uint8Array;
  view: DataView;
  /** What the consoles were given. */
  output(): string;
  /** Puts NUL-terminated text at a fixed place; returns its address. */
  text(s: string): number;
  /** Physical address of a symbol. */
  symbol(name: string): number;
  /** Offset of a struct's member. */
  offset(struct: string, member: string): number;
  /** What is at an address, up to the NUL. */
  string(at: number): string;
  setTime(ns: bigint): void;
}

interface Program {
  layout: Layout;
  wasm: Uint8Array;
}

/** Compiled once a source: a test file makes a fresh machine for each of its tests. */
const programs = new Map<string, Promise<Program>>();

async function compileProgram(source: string, logBufShift: number): Promise<Program> {
  const settings = { ...config.production, CONFIG_LOG_BUF_SHIFT: logBufShift };
  const layout = new Layout("production", settings, await loadSpecs());
  const entries = ["kernel-wasm/include/link.ts", "kernel-wasm/include/addr.ts", "kernel-wasm/test/entry.ts"];
  const files = { "kernel-wasm/test/entry.ts": source };
  return runAsc("production", layout, entries, files);
}

export async function testMachine(source: string, logBufShift = 12): Promise<TestMachine> {
  const program = programs.get(source) ?? compileProgram(source, logBufShift);
  programs.set(source, program);
  const { layout, wasm } = await program;
  const module = new WebAssembly.Module(wasm as BufferSource);
  const strings = collectStrings(module);
  const memory = new WebAssembly.Memory({ initial: 128, maximum: 65536, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  const view = new DataView(memory.buffer);
  bytes.set(strings.bytes, BASE - strings.bytes.length);
  bytes.set(layout.data, BASE);
  let console_ = "";
  let now = 1_000_000_000n;
  const symbol = (name: string): number => {
    const found = layout.symbols.get(name);
    if (!found) throw new Error(`no symbol ${name}`);
    return BASE + found.offset;
  };
  view.setBigUint64(symbol("__per_cpu_offset"), 0xffff888000000000n + BigInt(PERCPU), true);
  const string = (at: number): string => {
    const end = bytes.indexOf(0, at);
    return String.fromCharCode(...bytes.slice(at, end));
  };
  const nothing = () => 0;
  const link: Record<string, unknown> = new Proxy(
    {
      get_cpu: nothing,
      get_sp: () => SCRATCH - 16,
      sym__stext: () => TEXT,
      sym__etext: () => TEXT + TEXT_SIZE,
      sym__end: () => BASE + layout.dataEnd,
      // Every table is at a place of zeros, so that kallsyms is empty.
      // A function reference is an object of asc's, which begins with the function's index in the table.
      text_address: (reference: number) => {
        const index = view.getUint32(reference, true);
        const at = TEXT + 0x100 + index * 16;
        view.setUint32(at - 4, index, true);
        view.setUint32(at - 8, TEXT_MAGIC, true);
        return LINK + BigInt(at);
      },
    },
    { get: (known: Record<string, unknown>, name: string) => known[name] ?? (() => 0x8000) },
  );
  const hw = {
    rdtsc: (pa: number) => view.setBigUint64(pa, now, true),
    page_fault: (lo: number, hi: number) => {
      throw new Error(`page fault at ${(hi >>> 0).toString(16)}:${(lo >>> 0).toString(16)}`);
    },
    outs8: (_port: number, pa: number, length: number) => {
      console_ += String.fromCharCode(...bytes.slice(pa, pa + length));
    },
  };
  const other = new Proxy(hw as Record<string, unknown>, {
    get: (known, name: string) => known[name] ?? nothing,
  });
  const instance = new WebAssembly.Instance(module, {
    env: { memory, __base: BASE, __phys_base: 0 },
    hw: other,
    link,
    string: strings.imports(BASE),
  } as WebAssembly.Imports);
  return {
    kernel: instance.exports as Kernel,
    layout,
    memory: bytes,
    view,
    output: () => console_,
    text(s) {
      bytes.set(new TextEncoder().encode(`${s}\0`), SCRATCH);
      return SCRATCH;
    },
    symbol,
    offset(struct, member) {
      const def = layout.decls.structs.get(struct);
      const field = def && layout.flatFields(def).find((f) => f.name === member);
      if (!field) throw new Error(`no ${struct}.${member}`);
      return field.offset;
    },
    string,
    setTime(ns) {
      now = ns;
    },
  };
}
