import { describe, expect, it } from "vitest";
import { readSignatures } from "../../tools/vmlinux/signatures.ts";

const only = (source: string, name = "f") => readSignatures(source).get(name);

describe("signatures of AssemblyScript functions", () => {
  it("have parameters, result and line", () => {
    const source = "/** Says f. */\n\nexport function f(a: i32, t: task_struct): u64 {\n";
    expect(only(source)).toEqual({
      line: 3,
      parameters: [
        { name: "a", type: "i32" },
        { name: "t", type: "task_struct" },
      ],
      returns: "u64",
    });
  });

  it.each([
    ["no parameters, no result", "function f() {}", [], "void"],
    ["defaults", "function f(a: u64 = 0, b: i32 = -(1)): void {}", ["a: u64", "b: i32"], "void"],
    [
      "several lines and a last comma",
      "function f(\n  a: u32,\n  b: bool,\n): bool {}",
      ["a: u32", "b: bool"],
      "bool",
    ],
    ["comments", "function f(a: u32, /* of b */ b: u8 // the, last\n): i32 {}", ["a: u32", "b: u8"], "i32"],
    [
      "a function type",
      "function f(run: (a: i32, b: i32) => void, x: u8): void {}",
      ["run: (a: i32, b: i32) => void", "x: u8"],
      "void",
    ],
    [
      "type parameters",
      "function f<T extends u32>(a: Map<u8, T>, b: T): T {}",
      ["a: Map<u8, T>", "b: T"],
      "T",
    ],
    ["an optional one", "function f(a?: usize): void {}", ["a: usize"], "void"],
    ["a source that ends in the middle", "function f(a: u32, b", ["a: u32", "b: "], "void"],
  ])("%s", (_, source, parameters, returns) => {
    const found = only(source);
    expect(found?.parameters.map(({ name, type }) => `${name}: ${type}`)).toEqual(parameters);
    expect(found?.returns).toBe(returns);
  });

  it("are those of top-level functions: no methods, no calls, the first of a name", () => {
    const found = readSignatures(
      "f(1);\n  function inner() {}\nfunction g() {}\nfunction g(a: u8) {}\n// function h() {}\n",
    );
    expect([...found]).toEqual([["g", { line: 3, parameters: [], returns: "void" }]]);
  });
});
