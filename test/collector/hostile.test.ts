/** Components that are none, or want what they must not have: each ends in a sentence, and leaves no file. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { limitMemory } from "../../tools/collector/limits.ts";
import { namedKernel } from "../support/dumps.ts";
import { run } from "../support/stock.ts";
import { component, wat, wrap } from "./components.ts";
import { ENGINES, type Engine, wkdump } from "./engines.ts";

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "wkdump-hostile-"));
  writeFileSync(join(directory, "vmcore"), namedKernel().build());
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Runs it on the mock dump; what it said, once it is known that no file is left. */
function refused(engine: Engine, bytes: Uint8Array, ...flags: string[]): string {
  rmSync(join(directory, "out"), { force: true });
  writeFileSync(join(directory, "c.wasm"), bytes);
  const before = readdirSync(directory);
  const args = ["collect", "--collector", "c.wasm", "--quiet", ...flags, "vmcore", "out"];
  const { status, stdout, stderr } = wkdump(engine, directory, args);
  expect([status, stdout, stderr]).toEqual([1, "", expect.stringMatching(/^wkdump collect: c\.wasm: .*\n$/)]);
  expect(readdirSync(directory)).toEqual(before);
  return stderr.slice("wkdump collect: c.wasm: ".length, -1);
}

describe("a file that is no collector", () => {
  it("is said to be what it is", async () => {
    expect(refused("bun", new Uint8Array(100))).toMatch(/^it is no WebAssembly component: docs/);
    expect(refused("bun", new Uint8Array(0))).toMatch(/^it is no WebAssembly component/);
    expect(refused("bun", await wat("(module)"))).toMatch(/^it is a core module of WebAssembly, not a comp/);
    expect(refused("bun", await wat("(component)"))).toBe(
      "it does not export run: func(args: list<string>) -> result<string, string>",
    );
    const whole = await component("(call $ok)");
    for (const length of [9, 100, whole.length - 1]) {
      expect(refused("bun", whole.subarray(0, length))).toMatch(
        /damaged|does not take it|does not export run/,
      );
    }
  });

  it.each(ENGINES)("or wants more than there is, on %s", async (engine) => {
    const clock = `package wasi:clocks@0.2.0;
      interface wall-clock { now: func() -> u64; }
      world collector {
        import wall-clock;
        export run: func(args: list<string>) -> result<string, string>;
      }`;
    const core = await wat(`(module
      (import "wasi:clocks/wall-clock@0.2.0" "now" (func (result i64)))
      (memory (export "memory") 1)
      (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
      (func (export "run") (param i32 i32) (result i32) (i32.const 0)))`);
    expect(refused(engine, await wrap(core, clock, "collector"))).toBe(
      "it imports wasi:clocks/wall-clock@0.2.0: a collector is given wkdump:collector/codecs, " +
        "wkdump:collector/dump, wkdump:collector/output, and nothing else",
    );
  });

  it("or is of another version of the world", async () => {
    const world = (version: string, function_: string): string => `package wkdump:collector@${version};
      interface output { ${function_} }
      world collector {
        import output;
        export run: func(args: list<string>) -> result<string, string>;
      }`;
    const core = (version: string, name: string): Promise<Uint8Array> =>
      wat(`(module
        (import "wkdump:collector/output@${version}" "${name}" (func (param i64 i64)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
        (func (export "run") (param i32 i32) (result i32) (i32.const 0)))`);
    const later = world("0.2.0", "progress: func(done: u64, total: u64);");
    expect(refused("bun", await wrap(await core("0.2.0", "progress"), later, "collector"))).toBe(
      "it imports wkdump:collector/output@0.2.0 with " +
        '"/** @module Interface wkdump:collector/output@0.2.0 **/", ' +
        "which wkdump:collector/output@0.1.0 has not",
    );
    const other = world("0.1.0", "remove: func(done: u64, total: u64);");
    expect(refused("bun", await wrap(await core("0.1.0", "remove"), other, "collector"))).toBe(
      "it imports wkdump:collector/output@0.1.0 with " +
        '"export function remove(done: bigint, total: bigint): void;", ' +
        "which wkdump:collector/output@0.1.0 has not",
    );
  });

  it.each([
    [
      "(type (struct (field i32)))",
      /^it has objects for a garbage collector, whose memory cannot be limited$/,
    ],
    ["(rec (type (func)) (type (array i8)))", /^it has objects for a garbage collector/],
    ["(memory 1)", /^the transpiler does not take it: unsupported .* multiple memories$/],
    ["(table 1000001 funcref)", /^its tables have over 1000000 entries$/],
    ["(table 600000 funcref) (table 600000 externref)", /^its tables have over 1000000 entries$/],
  ])("or has memory that nothing limits: %s", async (more, message) => {
    expect(refused("bun", await component("(call $ok)", more))).toMatch(message);
  });

  it("or has memory of another kind", async () => {
    for (const memory of ["1 1 shared", "i64 1"]) {
      const module = await wat(`(module (memory ${memory}))`);
      expect(() => limitMemory(new Map([["module", module]]), 1 << 20)).toThrow(
        /^it has a memory that is shared, of 64 bits, or of pages of its own size$/,
      );
    }
  });

  it("or has code where names should be", async () => {
    // jco writes names as they are: this one would be run by the JavaScript that it makes.
    for (const name of ["a',[globalThis.process.exit(7)]:'b", "`", "$" + "{x}", "a\\\\'", "\\n", "*/"]) {
      const inside = await wat(`(component
        (core module $m (func (export "${name}")))
        (core module $k (import "x" "${name}" (func)) (func (export "run") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (core instance $j (instantiate $k (with "x" (instance $i))))
        (func (export "run") (result u32) (canon lift (core func $j "run"))))`);
      expect(refused("bun", inside)).toMatch(/^it has a name with characters that no compiler uses: "/);
      const between = await wat(`(component
        (core module $m (func (export "f")))
        (core module $k (import "${name}" "f" (func)) (func (export "run") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (core instance $n (export "f" (func $i "f")))
        (core instance $j (instantiate $k (with "${name}" (instance $n))))
        (func (export "run") (result u32) (canon lift (core func $j "run"))))`);
      expect(refused("bun", between)).toMatch(/^it has a name with characters that no compiler uses: "/);
    }
  });
});

describe.each(ENGINES)("a collector on %s", (engine) => {
  const loop = "(loop (br 0)) (unreachable)";

  it("that never ends is stopped", async () => {
    const start = performance.now();
    expect(refused(engine, await component(loop), "--time-limit", "2")).toBe(
      "it took longer than 2 s, the time limit",
    );
    expect(performance.now() - start).toBeLessThan(20_000);
    const starts = await component("(call $ok)", `(func $begin ${loop.slice(0, -14)}) (start $begin)`);
    expect(refused(engine, starts, "--time-limit", "2")).toBe("it took longer than 2 s, the time limit");
    const asks = await component(`
      (loop (call $read (i64.const 0) (i32.const 0) (i32.const 256)) (br 0)) (unreachable)`);
    expect(refused(engine, asks, "--time-limit", "2")).toBe("it took longer than 2 s, the time limit");
  });

  it("that writes too much is stopped", async () => {
    const flood = `(local $at i64) (loop
      (call $write (local.get $at) (i32.const 0) (i32.const 65536) (i32.const 256))
      (local.set $at (i64.add (local.get $at) (i64.const 65536)))
      (br 0)) (unreachable)`;
    expect(refused(engine, await component(flood), "--output-limit", "1M")).toBe(
      "it wrote 65536 bytes at offset 0x100000: the output limit is 1M",
    );
    expect(refused(engine, await component(flood))).toMatch(/: the output limit is \d+[KM]?$/);
  });

  it("that traps is told of", async () => {
    expect(refused(engine, await component("(unreachable)"))).toMatch(/^it trapped: .*unreachable/i);
    const deep = await component("(call $deep) (unreachable)", "(func $deep (call $deep) (call $deep))");
    expect(refused(engine, deep)).toMatch(/^it trapped: .*call stack/i);
    // What it returns lies outside its memory.
    expect(refused(engine, await component("(i32.const 0x7fffff00)"))).toMatch(/^it trapped: /);
  });

  it("that wants too much memory does not get it", async () => {
    const big = await component("(call $ok)", "", "8192");
    expect(refused(engine, big)).toBe("it needs 512M of memory to begin with, and the limit is 256M");
    // 1 MiB: growing fails beyond 16 pages, and that it says.
    const grows = await component(`(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
      (i32.store8 (i32.const 1024) (i32.add (i32.const 48) (i32.sub (memory.size) (i32.const 10))))
      (i32.store (i32.const 16) (i32.const 1))
      (i32.store (i32.const 20) (i32.const 1024))
      (i32.store (i32.const 24) (i32.const 1))
      (i32.const 16)`);
    expect(refused(engine, grows, "--memory-limit", "1M")).toBe("6");
  });
});

describe("a collector", () => {
  it("that writes far away is stopped", async () => {
    for (const at of ["0xffffffffffffffff", "0x7fffffffffffffff", "0x20000000000000"]) {
      const far = `(call $write (i64.const ${at}) (i32.const 0) (i32.const 1) (i32.const 256)) (call $ok)`;
      expect(refused("bun", await component(far))).toMatch(
        /^it wrote 1 bytes at offset 0x[0-9a-f]+: the out/,
      );
    }
  });

  it("that asks for what is not there is told so", async () => {
    const asked = async (call: string): Promise<string> =>
      refused("bun", await component(`${call} (call $pass)`, "", "64"));
    expect(await asked("(call $read (i64.const 0) (i32.const 0x7fffffff) (i32.const 256))")).toBe(
      "a read of 2147483647 bytes: 1 MiB is the most",
    );
    const far = "(call $read (i64.const 0xffffffffffffffff) (i32.const 16) (i32.const 256))";
    expect(await asked(far)).toMatch(/^vmcore: no memory .*0x10000000000000000/);
    const unmapped = "(call $read_virtual (i64.const 0x1000) (i32.const 16) (i32.const 256))";
    expect(await asked(unmapped)).toMatch(/0x1000/);
    expect(await asked("(call $read_pages (i32.const 0) (i32.const 300) (i32.const 256))")).toBe(
      "a read of 300 pages: 1 MiB is the most",
    );
    expect(await asked("(call $read_pages (i32.const 0) (i32.const 500000) (i32.const 256))")).toBe(
      "more pages than 1 MiB has",
    );
    const states = "(call $states (i32.const 32) (i64.const 0) (i32.const 1) (i32.const 256))";
    expect(await asked(states)).toBe("a dump level of 32: 31 is the most");
    const many = "(call $states (i32.const 0) (i64.const 0) (i32.const -1) (i32.const 256))";
    expect(await asked(many)).toBe("the states of 4294967295 pages: 1048576 are the most");
    const pages =
      "(call $compress (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 0) (i32.const 256))";
    expect(await asked(pages)).toBe("100 bytes are no pages of 0, or more than 1 MiB");
  });

  it("whose words are a terminal's commands says them as plain text", async () => {
    const says = await component(
      `(i32.store (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 2048))
       (i32.store (i32.const 24) (i32.const 9)) (i32.const 16)`,
      '(data (i32.const 2048) "a\\1b[2J\\0a\\0db")',
    );
    expect(refused("bun", says)).toBe("a [2J b");
  });
});

describe("a file that is there", () => {
  it("stays as it is, but by --force", async () => {
    writeFileSync(join(directory, "c.wasm"), await component("(call $ok)"));
    writeFileSync(join(directory, "taken"), "mine");
    const args = ["collect", "--collector", "c.wasm", "--quiet", "vmcore", "taken"];
    expect(wkdump("bun", directory, args)).toMatchObject({
      status: 1,
      stderr: "wkdump collect: taken: File exists\n",
    });
    expect(readFileSync(join(directory, "taken"), "utf8")).toBe("mine");
    expect(wkdump("bun", directory, [...args, "--force"])).toMatchObject({ status: 0, stdout: "done\n" });
    expect(readFileSync(join(directory, "taken")).length).toBe(0);
    expect(existsSync(join(directory, "taken.incomplete"))).toBe(false);
    expect(run("ls", [directory]).stdout).toContain("taken");
  });
});
