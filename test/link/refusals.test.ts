/** What the link step refuses: each message names the culprit. */
import { describe, expect, it } from "vitest";
import { LinkError } from "../../runtime/link/index.ts";
import { compile, type InputOptions, linkCompiled, PRELUDE } from "./support.ts";

async function refusal(source: string, options: InputOptions = {}): Promise<string> {
  const compiled = await compile(PRELUDE + source);
  try {
    linkCompiled(compiled, options);
  } catch (error) {
    expect(error).toBeInstanceOf(LinkError);
    return (error as LinkError).message;
  }
  throw new Error("the module was linked");
}

describe("the link step refuses", () => {
  it("a top-level let, by name", async () => {
    const message = await refusal("let counter = 0; export function f(): i32 { return ++counter; }");
    expect(message).toContain("mutable global kernel/t/counter: state lives in symbols that abi places");
  });

  it("a start function", async () => {
    expect(await refusal("out8(1, 2); export function f(): i32 { return 1; }")).toContain("start function");
  });

  it("`new` and memory.grow, with the function that uses them", async () => {
    const made = await refusal(
      "class A { x: i32 } export function f(): i32 { return changetype<i32>(new A()); }",
    );
    expect(made).toContain("mutable global ~lib/rt/stub/offset: `new` is used");
    expect(made).toContain("~lib/rt/stub/maybeGrowMemory grows the memory");
    const grown = await refusal("export function f(): i32 { return memory.grow(1); }");
    expect(grown).toContain("kernel/t/f grows the memory");
  });

  it("string literals, showing their text", async () => {
    const message = await refusal('export function f(): i32 { return changetype<i32>("panic text"); }');
    expect(message).toContain('string literal "panic text"');
    expect(message).toContain("write c`...`");
  });

  it("static data", async () => {
    const message = await refusal("export function f(): usize { return memory.data<u8>([1, 2, 3]); }");
    expect(message).toMatch(/static data at 0x/);
  });

  it("calls through Function objects", async () => {
    const message = await refusal(`
      function g(x: i32): i32 { return in8(x); }
      export function f(c: i32): i32 { return load<i32>(changetype<usize>(g)) + c; }`);
    expect(message).toContain("kernel/t/f calls through a Function object");
  });

  it("imports from anywhere else, and throw", async () => {
    const message = await refusal(`
      @external("js", "log") declare function log(x: i32): void;
      @external("link", "get_pc") declare function get_pc(): i32;
      @external("hw", "rdtsc") declare function rdtsc(): i64;
      export function f(x: i32): void { log(x + get_pc() + <i32>rdtsc()); if (x) throw new Error("no"); }`);
    expect(message).toContain("import js.log: only env.memory");
    expect(message).toContain("import link.get_pc is no intrinsic");
    expect(message).toContain("import hw.rdtsc takes or returns something else than i32");
    expect(message).toContain("import env.abort: a throw or assertion is left");
  });

  it("intrinsics declared with a wrong type", async () => {
    const message = await refusal(`
      @external("link", "sym__end") declare function end(): i64;
      export function f(): i32 { return <i32>end(); }`);
    expect(message).toContain("import link.sym__end is declared with a wrong type");
  });

  it("exports with i64, or named like its globals", async () => {
    const message = await refusal(`
      export function f(x: i64): void { out8(<i32>x, 0); }
      export function sp(): i32 { return 1; }`);
    expect(message).toContain("export f takes or returns something else than i32");
    expect(message).toContain("export sp: the link step adds a global of this name");
  });

  it("exported functions with optional parameters", async () => {
    const message = await refusal("export function f(x: i32, y: i32 = 4): i32 { return in8(x + y); }");
    expect(message).toContain("mutable global ~argumentsLength");
  });

  it("functions of abi's lists that are missing: all of them in one message, with what to do", async () => {
    const compiled = await compile(
      `${PRELUDE}
      function panic(): void { out8(1, 1); }
      export function f(): void { panic(); }`,
      ["-O3"],
      true,
    );
    const lists = { backtrace: ["f", "panic", "__crash_kexec"], entry: ["ret_from_fork"] };
    expect(() => linkCompiled(compiled, lists)).toThrow(
      /missing of abi's backtrace list: panic, __crash_kexec\..*no-inline[\s\S]*entry list: ret_from_fork/,
    );
    expect(() => linkCompiled(compiled, { backtrace: ["f"], entry: ["f"] })).toThrow("both in abi's entry");
  });

  it("symbols that nobody has, all in one message", async () => {
    const source = `
      @external("link", "sym_initrd_image") declare function sym_initrd_image(): usize;
      @external("link", "sym_current_task") declare function sym_current_task(): usize;
      export function f(): i32 { return sym_initrd_image() + sym_current_task() + __base; }`;
    expect(await refusal(source)).toContain("no such symbol for sym_initrd_image, sym_current_task");
  });

  it("modules without names, bytes that are no module, and input that does not fit", async () => {
    const compiled = await compile(`${PRELUDE} export function f(): void { out8(1, 1); }`);
    const input = (wasm: Uint8Array) => () => linkCompiled({ ...compiled, wasm });
    expect(input(new Uint8Array(20))).toThrow("not a WebAssembly module");
    expect(input(compiled.wasm.subarray(0, 60))).toThrow("truncated");
    expect(input(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]))).toThrow("no function names");
    expect(() => linkCompiled(compiled, { dataEnd: 100 })).toThrow("not a multiple of 4096");
    expect(() => linkCompiled(compiled, { paramsSymbol: "purgatory_info" })).toThrow(
      "purgatory_info does not exist",
    );
  });
});
