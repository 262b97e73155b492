/** C strings: imports of module "string" in, .rodata out. */
import { describe, expect, it } from "vitest";
import { readImageHeader } from "../../runtime/boot/image.ts";
import { linkLoadable } from "../../runtime/link/index.ts";
import { compile, linkCompiled, PRELUDE, Rig } from "./support.ts";

/** `text` is declared as `name`. */
const string = (name: string, text: string): string =>
  `@external("string", ${JSON.stringify(text)}) declare const ${name}: usize;\n`;

const SOURCE = `${PRELUDE}
${string("hello", "hello, world\n")}
${string("world", "world\n")}
${string("empty", "")}
${string("percent", 'a "%s"\\\x1b')}
${string("often", "often")}
${string("never", "only unreachable code says this")}
${string("unused", "and nothing says this")}
// As a configuration that leaves code out.
const CONFIG: bool = false;
function dead(): void { out8(1, <i32>never); }
export function f(which: i32): i32 {
  if (CONFIG) dead();
  switch (which) {
    case 0: return <i32>hello;
    case 1: return <i32>world;
    case 2: return <i32>empty;
    case 3: return <i32>percent;
    case 4: return <i32>often;
  }
  // The optimiser may put an offset into the load, or choose between two.
  if (which == 5) return load<u8>(hello + 4);
  const one = in8(which) ? often : world;
  return load<u8>(one) + load<u8>(one, 1);
}
export function base(): usize { return __base; }
export function g(x: i32): i32 { return x ? <i32>often : in8(<i32>often); }`;

describe("C strings", () => {
  it("stand in .rodata up to __base, each once, common ends shared, if code refers to them", async () => {
    const output = linkCompiled(await compile(SOURCE));
    const { header, image } = output;
    const rodata = Buffer.from(image.subarray(header.rodataOffset, header.dataOffset)).toString("latin1");
    expect(rodata.split("world").length, "world is the end of hello, world").toBe(2);
    expect(rodata.split("often").length).toBe(2);
    expect(rodata.at(-1)).toBe("\0");
    expect(Buffer.from(image).toString("latin1")).not.toContain("says this");
    for (const load of [0x100000, 0x230000]) {
      const rig = new Rig(output, { in8: (port: number) => port - 6 }, load);
      const memory = new Uint8Array(rig.memory.buffer);
      const read = (which: number): string => {
        const at = rig.call("f", which);
        return Buffer.from(memory.slice(at, memory.indexOf(0, at))).toString("latin1");
      };
      expect([0, 1, 2, 3, 4].map(read)).toEqual(["hello, world\n", "world\n", "", 'a "%s"\\\x1b', "often"]);
      expect(rig.call("f", 5)).toBe("o".charCodeAt(0));
      expect(rig.call("f", 6)).toBe("w".charCodeAt(0) + "o".charCodeAt(0));
      expect(rig.call("f", 7)).toBe("o".charCodeAt(0) + "f".charCodeAt(0));
      expect(rig.call("g", 1)).toBe(rig.call("f", 4));
    }
  });

  it("leave the module's other globals what they were", async () => {
    const compiled = await compile(
      `${PRELUDE}
      ${string("text", "text")}
      @external("env", "__phys_base") declare const __phys_base: usize;
      export const where: usize = __phys_base;
      export function f(x: i32): i32 { return x ? <i32>(text - __base) : <i32>__phys_base; }`,
    );
    const rig = new Rig(linkCompiled(compiled), {}, 0x230000);
    expect(rig.call("f", 1)).toBe(-5);
    expect(rig.call("f", 0)).toBe(0x130000);
    expect((rig.exports.where as unknown as WebAssembly.Global).value).toBe(0x130000);
    const imports = WebAssembly.Module.imports(
      new WebAssembly.Module(linkCompiled(compiled).wasm as BufferSource),
    );
    expect(imports.map((it) => `${it.module}.${it.name}`).sort()).toEqual([
      "env.__base",
      "env.__phys_base",
      "env.memory",
    ]);
  });

  it("are refused where a program has no __base, or keeps one in a global of its own", async () => {
    const compiled = await compile(`${string("text", "text")} export function f(): usize { return text; }`);
    expect(() => linkCompiled(compiled)).toThrow("a C string is used, but env.__base is not imported");
    const kept = await compile(`${PRELUDE}
      ${string("text", "text")}
      export const kept: usize = text;
      export function f(): usize { return __base; }`);
    expect(() => linkCompiled(kept)).toThrow("global kernel/t/kept is a C string");
  });

  it("of a loadable module are relocations against its .rodata", async () => {
    const compiled = await compile(`
      ${string("one", "one")} ${string("two", "number two")}
      @external("hw", "unused") declare function unused(): void;
      export function init_module(): i32 { return <i32>one; }
      export function cleanup_module(): void { store<u32>(two, 1); }`);
    const zero = { size: 64, name: 0, init: 8, exit: 16 };
    const { sections } = linkLoadable({
      name: "strings",
      wasm: compiled.wasm,
      data: new Uint8Array(0),
      symbols: [],
      backtrace: [],
      modinfo: [],
      parameters: [],
      layout: { module: zero, kernelParam: { size: 0, name: 0, mod: 0, ops: 0, perm: 0, level: 0, arg: 0 } },
    });
    const rodata = Buffer.from(sections.find((it) => it.name === ".rodata")!.bytes).toString("latin1");
    expect(rodata.length).toBe("one\0number two\0".length);
    const places = sections.find((it) => it.name === ".wasm")!.relocations;
    const texts = places
      .filter((it) => it.symbol === ".rodata")
      .map((it) => rodata.slice(it.addend, rodata.indexOf("\0", it.addend)));
    expect(texts).toEqual(["one", "number two"]);
  });
});

it("the boot stack of a kernel that gives its module back lies in the module's bytes", async () => {
  const long = Array.from({ length: 4000 }, (_, i) => `out8(${i}, x * ${i});`).join(" ");
  const compiled = await compile(`${PRELUDE} export function f(x: i32): i32 { ${long} return get_sp(); }`);
  const { header, image } = linkCompiled(compiled, { reuseModule: true });
  expect(readImageHeader(new DataView(image.buffer), 0, image.length)).toEqual(header);
  expect(header.stackOffset % 0x4000).toBe(0);
  expect(header.stackOffset - 0x4000).toBeGreaterThanOrEqual(header.wasmOffset);
  expect(header.stackOffset).toBeLessThanOrEqual(header.wasmOffset + header.wasmSize);
  expect(header.memSize).toBe(header.endOffset);
  const small = await compile(`${PRELUDE} export function f(x: i32): i32 { return in8(x); }`);
  expect(() => linkCompiled(small, { reuseModule: true })).toThrow("has no room for the boot stack");
});
