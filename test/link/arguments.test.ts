/** Arguments in memory: each lies where the layout says while the function runs, and records stay true. */
import { expect, it } from "vitest";
import { compile, linkCompiled, PRELUDE, Rig } from "./support.ts";

const SOURCE = `${PRELUDE}
  function one(x: i32, y: i64): i32 { out8(x, 1); return x + <i32>y; }
  function two(x: i32, y: i64): i32 { out8(x, 2); return x - <i32>y; }
  function pointer(which: i32): u64 {
    return which ? text_address(changetype<usize>(one)) : text_address(changetype<usize>(two));
  }
  function middle(index: i32, a: i64, b: i32): i32 {
    const r = call_indirect<i32>(index, b, a + 1);
    out8(9, 9);
    return r + b;
  }
  function bare(): i32 { out8(8, 8); return 5; }
  export function low(which: i32): i32 { return <i32>pointer(which); }
  export function run(index: i32, n: i32): i32 { return middle(index, n, n - 43) + bare(); }`;

it.each([["-O0"], ["-O3"]])("lie above the record of the function that got them (%s)", async (level) => {
  const compiled = await compile(SOURCE, [level]);
  const usual = linkCompiled(compiled);
  const output = linkCompiled(compiled, { argumentsInMemory: true });
  const area = (name: string): number => output.functions.find((it) => it.name === name)!.argumentArea;
  expect(usual.functions.every(({ argumentArea }) => argumentArea === 0)).toBe(true);
  expect(area("one")).toBe(32);
  expect(area("middle")).toBe(32);
  // Nothing to store; the host calls it.
  expect([area("bare"), area("run")]).toEqual([0, 0]);

  const chains: Record<"usual" | "stored", string[]> = { usual: [], stored: [] };
  const seen: unknown[] = [];
  const rig: Rig = new Rig(output, {
    out8: (port) => {
      chains.stored.push(rig.chain().join(" "));
      // The record at sp, the arguments behind it.
      if (port === 9) seen.push(rig.u64(rig.sp + 24), rig.u64(rig.sp + 32) & 0xffffffffn);
      else if (port !== 8) seen.push(rig.u64(rig.sp + 16), rig.u64(rig.sp + 24));
      return undefined;
    },
  });
  const plain: Rig = new Rig(usual, { out8: () => void chains.usual.push(plain.chain().join(" ")) });
  for (const which of [1, 0]) {
    const index = (r: Rig, header: { dataOffset: number }): number => {
      const at = (r.call("low", which) >>> 0) - 0x80100000;
      return r.view.getUint32(r.base - header.dataOffset + at - 4, true);
    };
    const result = rig.call("run", index(rig, output.header), 40);
    expect(result).toBe(plain.call("run", index(plain, usual.header), 40));
  }
  const minus3 = 0xfffffffdn;
  expect(seen).toEqual([minus3, 41n, 40n, minus3, minus3, 41n, 40n, minus3]);
  expect(chains.stored).toEqual(chains.usual);
  expect(chains.stored).toHaveLength(6);
});
