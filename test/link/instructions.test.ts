/**
 * The instruction decoder: code with all that asc emits passes through the link step unchanged in meaning.
 */
import { describe, expect, it } from "vitest";
import { ByteReader, ByteWriter } from "../../runtime/link/bytes.ts";
import { LinkError } from "../../runtime/link/index.ts";
import { readInstruction } from "../../runtime/link/instructions.ts";
import { compile, linkCompiled, PRELUDE, Rig } from "./support.ts";

const SOURCE = `${PRELUDE}
export function simd(p: i32): i32 {
  out8(p, 1);
  let v = v128.load(p);
  v = i32x4.add(v, v128.splat<i32>(7));
  v = i8x16.shuffle(v, i32x4(1, 2, 3, -4), 0, 1, 2, 3, 20, 21, 22, 23, 8, 9, 10, 11, 28, 29, 30, 31);
  v = v128.load_lane<i16>(p, v, 3, 2);
  v128.store_lane<i32>(p + 64, v, 1);
  v = i32x4.max_s(v, v128.load_splat<i32>(p + 4));
  v = v128.bitselect(v, v128.load_zero<i64>(p), i64x2.splat(0x00ff00ff00ff00ff));
  v = i16x8.extmul_low_i8x16_s(v, v128.load_ext<i8>(p));
  v128.store(p + 32, v);
  return i32x4.extract_lane(v, 2) + <i32>v128.any_true(v) + i8x16.bitmask(v);
}
export function atomics(p: i32): i32 {
  out8(p, 2);
  let r = atomic.add<i32>(p, 5);
  r += <i32>atomic.cmpxchg<i64>(p + 8, 3, 9);
  r += atomic.xchg<u8>(p + 16, 200) + atomic.load<u16>(p);
  atomic.store<i32>(p + 20, r);
  return r + atomic.notify(p, 1);
}
export function bulk(p: i32): i32 {
  memory.fill(p, 0x5a, 100);
  out8(p, 3);
  memory.copy(p + 200, p + 50, 80);
  return load<i32>(p + 248) + memory.size();
}
export function numbers(x: i32): i32 {
  out8(x, 4);
  const a = <f64>x * 1.5 + 1e300 * 0;
  const b = <f32>a / 3;
  const c = <i64>x * 0x123456789abcdef + i64.rotl(x, 7) + <i64>b;
  const d = i32.reinterpret_f32(b) ^ <i32>i64.reinterpret_f64(a) ^ <i32>(<u64>a) ^ <i32>Math.abs(b);
  return d ^ <i32>c ^ <i32>(c >> 32) ^ <i8>x ^ clz(x) ^ popcnt(c as i32) ^ select<i32>(x, 3, x > 4);
}
export function switches(x: i32): i32 {
  switch (x & 7) {
    case 0: return in8(1);
    case 1: x += in8(2);
    case 2: x += 3; break;
    case 5: { while (x < 100) { x += in8(3) + 1; if (x == 50) continue; } break; }
    default: return -x;
  }
  return x;
}`;

describe("the instruction decoder", () => {
  it.each([["-O0"], ["-O3"]])(
    "keeps the meaning of SIMD, atomic, bulk and number code (%s)",
    async (level) => {
      const compiled = await compile(SOURCE, [level]);
      const rig = new Rig(linkCompiled(compiled), { in8: (port) => port * 3 });
      const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
      const plain = new WebAssembly.Instance(new WebAssembly.Module(compiled.wasm as BufferSource), {
        env: { memory },
        hw: { out8: () => undefined, in8: (port: number) => port * 3 },
        link: {},
      }).exports as Record<string, (x: number) => number>;
      const p = 0x20000;
      const bytes = (of: WebAssembly.Memory) => new Uint8Array(of.buffer).subarray(p, p + 512);
      for (const of of [memory, rig.memory])
        bytes(of).forEach((_, index, all) => void (all[index] = index * 37));
      for (const name of ["simd", "atomics", "bulk", "numbers", "switches"]) {
        const args = name === "numbers" || name === "switches" ? [0, 1, 2, 5, 9, 77, -5, 2 ** 31] : [p, p];
        for (const x of args) expect(rig.call(name, x), `${name}(${x})`).toBe(plain[name]?.(x));
        expect(bytes(rig.memory)).toEqual(bytes(memory));
      }
    },
  );

  it("refuses tail calls, exceptions and GC", () => {
    const step =
      (...bytes: number[]) =>
      () =>
        readInstruction(new ByteReader(new Uint8Array(bytes)));
    for (const op of [0x06, 0x08, 0x12, 0x13, 0x14, 0x1f, 0xfb]) expect(step(op, 0, 0)).toThrow(LinkError);
    expect(step(0x12, 0)).toThrow("instruction 0x12 at offset 0x0 is not supported");
    expect(step(0xfc, 18)).toThrow(LinkError);
    expect(step(0xfe, 0x4f)).toThrow(LinkError);
    expect(step(0x41, 0x80)).toThrow("truncated");
  });
});

describe("LEB128", () => {
  it("reads what it writes, padded or not", () => {
    const values = [0, 1, -1, 63, 64, -64, -65, 127, 128, 8191, 8192, -8193, 0x3f00, 2 ** 31 - 1, -(2 ** 31)];
    for (const value of values) {
      const plain = new ByteWriter().sleb(value).finish();
      expect(new ByteReader(plain).sleb32()).toBe(value);
      const padded = new ByteWriter().sleb32Padded(value).finish();
      expect(padded.length).toBe(5);
      expect(new ByteReader(padded).sleb32()).toBe(value);
      if (value >= 0) expect(new ByteReader(new ByteWriter().uleb(value).finish()).uleb()).toBe(value);
    }
    for (const value of [-0x7ff00000, -0x777ffffffffe8, 2 ** 52 - 1]) {
      let read = 0n;
      const bytes = new ByteWriter().sleb(value).finish();
      bytes.forEach((byte, index) => void (read |= BigInt(byte & 0x7f) << BigInt(index * 7)));
      expect(BigInt.asIntN(bytes.length * 7, read)).toBe(BigInt(value));
    }
    expect(new ByteReader(new ByteWriter().uleb(0xffffffff).finish()).uleb()).toBe(0xffffffff);
    expect(() => new ByteReader(new Uint8Array([0x80, 0x80, 0x80, 0x80, 0x80, 1])).uleb()).toThrow(
      "too long",
    );
  });
});
