/**
 * Frame records: what lies on the kernel stack while linked functions run, and that they leave nothing
 * behind.
 */
import { describe, expect, it } from "vitest";
import { compile, linkCompiled, PRELUDE, Rig } from "./support.ts";

const RECORD = 16;
const CALL = 5;
const PUSHES = 4;

describe("frame records", () => {
  it.each([["-O0"], ["-O3"], ["-Oz"]])("are the true call chain at a hardware call (%s)", async (level) => {
    const source = `${PRELUDE}
      function c(x: i32): i32 { out8(x, 1); out8(x, 2); return x + 1; }
      function b(x: i32): i32 { if (x > 100) return c(x); const y = c(x + 1); return c(y) + 1; }
      function leaf(x: i32): i32 { return x * 3; }
      export function a(x: i32): i32 { out8(0, 0); return b(leaf(x)) + b(x); }`;
    const seen: string[] = [];
    const rig: Rig = new Rig(linkCompiled(await compile(source, [level])), {
      out8: () => void seen.push(rig.chain().join(" ")),
    });
    // By hand: a = out8, leaf, b, b; c = out8, out8; b = c, c, c in code order.
    expect(rig.call("a", 5)).toBe(15 + 1 + 1 + 1 + 1 + (5 + 1 + 1 + 1 + 1));
    const at = (call: number) => `+0x${(PUSHES + CALL * (call + 1)).toString(16)}`;
    const twice = (chain: string) => [`c${at(0)} ${chain}`, `c${at(1)} ${chain}`];
    const expected = [
      `a${at(0)}`,
      ...twice(`b${at(1)} a${at(2)}`),
      ...twice(`b${at(2)} a${at(2)}`),
      ...twice(`b${at(1)} a${at(3)}`),
      ...twice(`b${at(2)} a${at(3)}`),
    ];
    expect(seen).toEqual(expected);
  });

  it("are 16 bytes each, contiguous, below the stack's top", async () => {
    const source = `${PRELUDE}
      function inner(x: i32): void { out8(x, 0); }
      export function outer(x: i32): void { inner(x); inner(x); }`;
    const sps: number[] = [];
    const rig: Rig = new Rig(linkCompiled(await compile(source)), {
      out8: () => void sps.push(rig.stackTop - rig.sp, Number(rig.u64(rig.sp) & 0xffffffffn) - rig.sp),
    });
    rig.call("outer", 1);
    expect(sps).toEqual([2 * RECORD, RECORD, 2 * RECORD, RECORD]);
    expect(rig.u64(rig.stackTop - RECORD)).toBe(0xffff888000000000n + BigInt(rig.stackTop));
  });

  it("show indirect calls", async () => {
    const source = `${PRELUDE}
      function one(x: i32): i32 { out8(x, 1); return 1; }
      function two(x: i32): i32 { out8(x, 2); return 2; }
      function pointer(which: i32): u64 {
        return which ? text_address(changetype<usize>(one)) : text_address(changetype<usize>(two));
      }
      export function low(which: i32): i32 { return <i32>pointer(which); }
      export function run(index: i32): i32 { const r = call_indirect<i32>(index, 7); out8(9, 9); return r; }`;
    const output = linkCompiled(await compile(source));
    const seen: string[][] = [];
    const rig: Rig = new Rig(output, { out8: () => void seen.push(rig.chain()) });
    for (const [which, name] of [
      [1, "one"],
      [0, "two"],
    ] as const) {
      const at = (rig.call("low", which) >>> 0) - 0x80100000;
      expect(output.functions.find((it) => it.address === at)?.name).toBe(name);
      // As the kernel's text_index() finds it.
      const text = rig.base - output.header.dataOffset + at;
      expect(rig.view.getUint32(text - 8, true)).toBe(0x00841f0f);
      seen.length = 0;
      expect(rig.call("run", rig.view.getUint32(text - 4, true))).toBe(which === 1 ? 1 : 2);
      expect(seen).toEqual([[`${name}+0x9`, "run+0x6"], ["run+0xb"]]);
    }
  });

  it("are not pushed by entry functions, whose calls still record their return addresses", async () => {
    const source = `${PRELUDE}
      function handler(x: i32): i32 { out8(x, 1); return x; }
      function asm_entry(x: i32): i32 { return handler(x) + handler(x + 1); }
      export function trap(x: i32): i32 {
        const old = get_sp();
        set_sp(old - 168);
        const r = asm_entry(x);
        set_sp(old);
        return r;
      }`;
    const seen: [number, string[]][] = [];
    const output = linkCompiled(await compile(source), { entry: ["asm_entry", "trap"] });
    const rig: Rig = new Rig(output, {
      out8: () => {
        const chain = [rig.u64(rig.sp - 8), rig.u64(rig.sp + 8)].map((address) => rig.nameOf(address));
        seen.push([rig.stackTop - rig.sp, chain]);
      },
    });
    expect(rig.call("trap", 4)).toBe(9);
    expect(seen).toEqual([
      [168 + RECORD, ["handler+0x9", "asm_entry+0x5"]],
      [168 + RECORD, ["handler+0x9", "asm_entry+0xa"]],
    ]);
  });

  it("follow a framed function that changes stacks", async () => {
    const source = `${PRELUDE}
      function work(x: i32): i32 { out8(x, 1); return x + 1; }
      export function on_stack(stack: i32): i32 {
        const old = get_sp();
        out8(1, old);
        set_sp(stack);
        const r = work(41);
        set_sp(old);
        return r + work(0);
      }`;
    const seen: number[] = [];
    const other = 0x80000;
    const rig: Rig = new Rig(linkCompiled(await compile(source)), { out8: () => void seen.push(rig.sp) });
    expect(rig.call("on_stack", other)).toBe(43);
    const own = rig.stackTop - RECORD;
    expect(seen).toEqual([own, other - RECORD, own - RECORD]);
    expect(rig.nameOf(rig.u64(other - 8))).toMatch(/^on_stack\+/);
  });

  it("keep sp on every way out of a function", async () => {
    const source = `${PRELUDE}
      export function ways(n: i32): i32 {
        let sum = 0;
        for (let i = 0; i < 10; i++) {
          for (let j = 0; j < 10; j++) {
            out8(i, j);
            if (i * 10 + j == n) return sum;
            if (j == 3 && n == 200) break;
            switch (n) {
              case 300: return in8(1);
              case 301: { if (in8(2) == 7) return 301; continue; }
              default: sum += i ^ j;
            }
          }
          if (n == 400 && i == 4) { in8(3); return -1; }
        }
        return n == 500 ? in8(5) : sum + in8(6);
      }
      export function nothing(n: i32): void { while (true) { if (in8(n) > 3) return; n++; } }
      export function tail(n: i32): i32 { return n ? in8(n) : in8(n + 1); }
      function deep64(n: i64): i64 { if (n > 3) return deep64(n - 1) * 2; in8(1); return n; }
      function deepf(n: f64): f64 { if (n > 3) { return deepf(n - 1) * 2; } in8(1); return n; }
      export function wide(n: i32): i32 { return <i32>deep64(n) + <i32>deepf(n); }`;
    for (const level of ["-O0", "-O1", "-O3"]) {
      const rig = new Rig(linkCompiled(await compile(source, [level])), { in8: (port) => port });
      // call() itself throws when sp is not what it was.
      for (const n of [0, 5, 47, 99, 200, 300, 301, 400, 500, 600]) rig.call("ways", n);
      expect(rig.call("ways", 300)).toBe(1);
      expect(rig.call("ways", 500)).toBe(5);
      expect(rig.call("ways", 400)).toBe(-1);
      rig.call("nothing", 0);
      expect([rig.call("tail", 0), rig.call("tail", 9)]).toEqual([1, 9]);
      expect(rig.call("wide", 6)).toBe(48);
    }
  });

  it("end in a trap at the stack guard, with the overflow's records in place", async () => {
    const source = `${PRELUDE}
      export function recurse(n: i32): i32 { return n ? recurse(n - 1) + in8(1) : 0; }`;
    const rig = new Rig(linkCompiled(await compile(source)), { in8: () => 1 });
    const room = (0x4000 - 256) / RECORD;
    expect(rig.call("recurse", room - 1)).toBe(room - 1);
    expect(() => rig.call("recurse", room)).toThrow(WebAssembly.RuntimeError);
    // One record below the last good one, and linked to it.
    expect(rig.sp & 0x3fff).toBe(256 - RECORD);
    expect(rig.u64(rig.sp)).toBe(0xffff888000000000n + BigInt(rig.sp + RECORD));
    expect(rig.nameOf(rig.u64(rig.sp + 8))).toMatch(/^recurse\+/);
    // The instance works on after it.
    expect(rig.call("recurse", 3)).toBe(3);
  });

  it("are there for functions that trap on purpose and for those in the backtrace list", async () => {
    const source = `${PRELUDE}
      export function bug(x: i32): i32 { if (x) unreachable(); return 1; }
      export function listed(x: i32): i32 { return x + load<i32>(x); }
      export function plain(x: i32): i32 { return x + load<i32>(x); }`;
    // Identical functions would be merged at -O3.
    const rig = new Rig(linkCompiled(await compile(source, ["-O0"]), { backtrace: ["listed"] }));
    const spAtTrap = (name: string, argument: number): number => {
      expect(() => rig.call(name, argument)).toThrow(WebAssembly.RuntimeError);
      return rig.stackTop - rig.sp;
    };
    expect(spAtTrap("bug", 1)).toBe(RECORD);
    expect(rig.call("bug", 0)).toBe(1);
    expect(spAtTrap("listed", -1)).toBe(RECORD);
    expect(spAtTrap("plain", -1)).toBe(0);
  });

  it("work with the stack's top at the end of a 4 GiB memory's arithmetic", async () => {
    const source = `${PRELUDE} export function f(x: i32): void { out8(x, 0); }`;
    const output = linkCompiled(await compile(source));
    const rig = new Rig(output);
    rig.sp = 0x400000;
    rig.exports.f?.(1);
    expect(rig.sp).toBe(0x400000);
    expect(rig.u64(0x400000 - RECORD)).toBe(0xffff888000400000n);
  });

  it("leave the CPU number and the stack pointer as the only mutable globals", async () => {
    const source = `${PRELUDE} export function cpu_of(x: i32): i32 { set_cpu(x); return get_cpu(); }`;
    const rig = new Rig(linkCompiled(await compile(source)));
    expect(rig.call("cpu_of", 3)).toBe(3);
    const names = WebAssembly.Module.exports(new WebAssembly.Module(rig.output.wasm as BufferSource));
    expect(names.filter((it) => it.kind === "global").map((it) => it.name)).toEqual(["sp", "cpu"]);
  });
});
