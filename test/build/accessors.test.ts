/** Generated accessors against the bytes they should read and write, and C strings, in a compiled module. */
import { beforeAll, describe, expect, it } from "vitest";
import { abi } from "../../kernel-wasm/abi/dsl.ts";
import { runAsc } from "../../tools/build/compile.ts";
import { Layout } from "../../tools/build/layout/layout.ts";
import { collectStrings, type PlacedStrings } from "../support/strings.ts";

const BASE = 0x200000;
const PHYS_BASE = 0x80000;

const spec = abi({
  structs: `
    typedef unsigned int u32;
    struct list_head { struct list_head *next, *prev; };
    struct inner { int a; unsigned char tag; };
    struct outer { long id; struct list_head list; struct inner in[3]; struct outer *link; void *raw;
      int (*op)(int);
      unsigned f:5; unsigned g:27; _Bool on; char name[8]; struct outer *many[2]; union { int u; short s; };
      short grid[2][3]; };
  `,
  bss: "struct outer one; struct outer two; struct outer *head; u32 counters[4];",
  data: `
    unsigned long vmemmap_phys, mem_map_start_phys, mem_map_end_phys;
    unsigned long module_space_phys, module_space_pages, module_space_text;
    unsigned long swapper_pg_dir[512];
    unsigned long __per_cpu_offset[2];
  `,
  percpu: "int hits; struct inner pcp;",
  defines: {
    MODULE_SPACE_SIZE: 0x40000,
    PAGE_SHIFT: 12,
    PGDIR_SHIFT: 39,
    PTRS_PER_PTE: 512,
    PTE_PFN_MASK: 0x000ffffffffff000n,
    VMALLOC_START: 0xffffc90000000000n,
    VMALLOC_END: 0xffffe8ffffffffffn,
    _PAGE_PRESENT: 1,
  },
});

const SOURCE = `
import { outer, inner, list_head } from "../include/generated/structs";
import { sym, percpu, this_cpu } from "../include/generated/symbols";
export function strings(): usize { return c\`one\\n\`; }
export function same(): usize { return c\`one\\n\`; }
export function other(): usize { return c\`\\x016two\`; }
export function fill(): void {
  const o = sym.one;
  o.id = -2;
  o.list.next = o.list;
  o.list.prev = sym.two.list;
  o.in_[2].a = 77; o.in_[2].tag = <u8>300;
  o.link = changetype<outer>(0x5000);
  o.raw = 0;
  o.op = 0xffffffff80123450;
  o.f = 33; o.g = 0x7ffffff;
  o.on = true;
  store<u8>(o.name, 65);
  o.many[1] = sym.two;
  o.s = -1;
  o.grid[1][2] = 1234;
  sym.head = o;
  sym.counters[3] += 5;
  sym.__per_cpu_offset[1] = 0xffff888000006000;
  percpu.set_hits(1, 9);
  percpu.pcp(1).a = 11;
  }
export function check(): i32 {
  const o = sym.head;
  if (changetype<usize>(o.list.next) != outer.addr_of_list(o)) return 1;
  if (outer.from_list(o.list.prev) !== sym.two) return 2;
  if (changetype<usize>(o.link) != 0x5000) return 3;
  if (o.raw != 0 || o.op != 0xffffffff80123450) return 4;
  if (o.f != 1 || o.g != 0x7ffffff) return 5;
  if (!o.on || o.many[1] !== sym.two || !isnull(o.many[0])) return 6;
  if (o.in_[2].tag != 44 || inner.SIZE != 8 || outer.from_id(outer.addr_of_id(o)) !== o) return 7;
  if (o.s != -1 || o.grid[1][2] != 1234 || o.many.va(0) != 0) return 8;
  if (percpu.hits(1) != 9 || this_cpu.hits != 9) return 9;
  return 0;
}
export function translate(lo: u32, hi: u32): usize { return pa((<u64>hi << 32) | lo); }
export function back_lo(p: usize): u32 { return <u32>va(p); }
export function back_hi(p: usize): u32 { return <u32>(va(p) >> 32); }
`;

describe("accessors", () => {
  const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
  const view = new DataView(memory.buffer);
  const layout = new Layout("production", { CONFIG_MODULES: true, CONFIG_CRASH_DUMP: false }, { spec });
  const faults: number[][] = [];
  let kernel: Record<string, (...args: number[]) => number>;
  let strings: PlacedStrings;

  beforeAll(async () => {
    const entries = [
      "kernel-wasm/include/link.ts",
      "kernel-wasm/include/addr.ts",
      "kernel-wasm/test/entry.ts",
    ];
    const compiled = await runAsc("production", layout, entries, { "kernel-wasm/test/entry.ts": SOURCE });
    const module = new WebAssembly.Module(compiled.wasm as BufferSource);
    strings = collectStrings(module);
    new Uint8Array(memory.buffer).set(strings.bytes, BASE - strings.bytes.length);
    const page_fault = (...args: number[]) => {
      faults.push(args.map((a) => a >>> 0));
      throw new Error("page fault");
    };
    const imports = {
      env: { memory, __base: BASE, __phys_base: PHYS_BASE },
      hw: { page_fault },
      link: { get_cpu: () => 1, sym__stext: () => 0, sym__etext: () => 0 },
      string: strings.imports(BASE),
    };
    const instance = new WebAssembly.Instance(module, imports);
    kernel = instance.exports as typeof kernel;
  });

  const call = (name: string, ...args: number[]): number =>
    (kernel[name] as (...a: number[]) => number)(...args) >>> 0;
  const at = (symbol: string, member?: string): number => {
    const s = layout.symbols.get(symbol);
    if (!s) throw new Error(`no symbol ${symbol}`);
    if (!member) return BASE + s.offset;
    const def = layout.decls.structs.get("outer");
    const field = def && layout.flatFields(def).find((f) => f.name === member);
    if (!field) throw new Error(`no member ${member}`);
    return BASE + s.offset + field.offset;
  };

  it("writes what C would", () => {
    call("fill");
    expect(view.getBigInt64(at("one", "id"), true)).toBe(-2n);
    const image = (p: number) => 0xffffffff80000000n + BigInt(p - PHYS_BASE);
    expect(view.getBigUint64(at("one", "list"), true)).toBe(image(at("one", "list")));
    expect(view.getBigUint64(at("one", "list") + 8, true)).toBe(image(at("two", "list")));
    expect(view.getInt32(at("one", "in") + 16, true)).toBe(77);
    expect(view.getUint8(at("one", "in") + 20)).toBe(44);
    expect(view.getBigUint64(at("one", "link"), true)).toBe(0xffff888000005000n);
    expect(view.getBigUint64(at("one", "raw"), true)).toBe(0n);
    expect(view.getUint32(at("one", "op") + 8, true)).toBe((1 | (0x7ffffff << 5)) >>> 0);
    expect(view.getUint8(at("one", "on"))).toBe(1);
    expect(view.getInt16(at("one", "grid") + 10, true)).toBe(1234);
    expect(view.getUint32(at("counters") + 12, true)).toBe(5);
    expect(view.getInt32(0x6000, true)).toBe(9);
    expect(view.getInt32(0x6004, true)).toBe(11);
  });

  it("reads its own writes", () => {
    call("fill");
    expect(call("check")).toBe(0);
  });

  it("has one address for each C string", () => {
    expect(call("strings")).toBe(call("same"));
    const bytes = new Uint8Array(memory.buffer);
    expect([...bytes.slice(call("strings"), call("strings") + 5)]).toEqual([111, 110, 101, 10, 0]);
    expect([...bytes.slice(call("other"), call("other") + 6)]).toEqual([1, 54, 116, 119, 111, 0]);
    expect(strings.bytes.length).toBe(11);
  });

  it("translates addresses both ways and faults on the rest", () => {
    view.setBigUint64(at("vmemmap_phys"), 0x300000n - 0x1000n, true);
    view.setBigUint64(at("mem_map_start_phys"), 0x300000n, true);
    view.setBigUint64(at("mem_map_end_phys"), 0x340000n, true);
    for (const p of [0x1000, 0x180000, BASE, BASE + 0xfff, 0x300000, 0x33ffff, 0x340000, 0xfffff000]) {
      expect(call("translate", call("back_lo", p), call("back_hi", p))).toBe(p);
    }
    expect(call("back_hi", 0x300000)).toBe(0xffffea00);
    expect(call("back_lo", 0x300000)).toBe(0x1000);
    expect(call("back_hi", BASE)).toBe(0xffffffff);
    expect([call("back_hi", 0x17ffff), call("back_hi", 0x340000)]).toEqual([0xffff8880, 0xffff8880]);
    view.setBigUint64(at("module_space_phys"), 0x380000n, true);
    view.setBigUint64(at("module_space_pages"), 0b101n, true);
    expect([call("back_hi", 0x382010), call("back_lo", 0x382010)]).toEqual([0xffffffff, 0xa0002010]);
    expect(call("translate", 0xa0002010, 0xffffffff)).toBe(0x382010);
    expect([0x381000, 0x383000, 0x37ffff].map((p) => call("back_hi", p))).toEqual(Array(3).fill(0xffff8880));
    expect(call("translate", 0, 0)).toBe(0);
    const bad = [
      [0x100, 0xdead0000],
      [0xfffffff4, 0xffffffff],
      [0x800fffff, 0xffffffff],
      [0xa0001000, 0xffffffff],
      [0xa0003000, 0xffffffff],
      [0x0, 0xffffea00],
      [0x1000, 0],
      [0x0, 0xffffc900],
    ] as const;
    for (const [lo, hi] of bad) expect(() => call("translate", lo, hi)).toThrow("page fault");
    expect(faults.map(([lo, hi]) => [lo, hi])).toEqual(bad.map((b) => [...b]));
  });
});
