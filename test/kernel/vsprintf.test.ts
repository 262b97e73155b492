/** vsnprintf against what C's printf gives. */
import { beforeAll, describe, expect, it } from "vitest";
import { type TestMachine, testMachine } from "./printk-machine.ts";

const OUT = 0x60000;
const SOURCE = `
import { vsnprintf } from "../lib/vsprintf";
/** Arguments as eight pairs of lo, hi words at a fixed place: no i64 crosses to JavaScript. */
export function format(out: usize, size: u32, fmt: usize, args: usize): i32 {
  return vsnprintf(out, size, fmt,
    load<u64>(args), load<u64>(args, 8), load<u64>(args, 16), load<u64>(args, 24),
    load<u64>(args, 32), load<u64>(args, 40), load<u64>(args, 48), load<u64>(args, 56), load<u64>(args, 64),
    load<u64>(args, 72));
}
`;

describe("vsnprintf", () => {
  let machine: TestMachine;
  beforeAll(async () => {
    machine = await testMachine(SOURCE);
  });

  const format = (
    fmt: string,
    args: (number | bigint | string)[],
    size = 256,
  ): { text: string; length: number } => {
    let strings = 0x61000;
    args.forEach((arg, i) => {
      let value: bigint;
      if (typeof arg === "string") {
        machine.memory.set(new TextEncoder().encode(`${arg}\0`), strings);
        value = BigInt(strings);
        strings += arg.length + 1;
      } else value = BigInt(arg);
      machine.view.setBigUint64(0x62000 + i * 8, BigInt.asUintN(64, value), true);
    });
    machine.memory.fill(0x7e, OUT, OUT + 512);
    const length = (machine.kernel.format as (...a: number[]) => number)(
      OUT,
      size,
      machine.text(fmt),
      0x62000,
    );
    // Nothing behind the buffer is touched.
    expect(machine.memory[OUT + size]).toBe(0x7e);
    return { text: size ? machine.string(OUT) : "", length };
  };

  it.each<[string, (number | bigint | string)[], string]>([
    ["plain", [], "plain"],
    ["100%%", [], "100%"],
    ["%d %i %u", [-1, 42, 4294967295n], "-1 42 4294967295"],
    ["%u", [-1], "4294967295"],
    ["%lu", [-1], "18446744073709551615"],
    ["%lld", [-9223372036854775808n], "-9223372036854775808"],
    ["[%5d|%-5d|%05d|%+d|% d]", [42, 42, 42, 42, 42], "[   42|42   |00042|+42| 42]"],
    ["%05d", [-42], "-0042"],
    ["%.3d %.0d|", [7, 0], "007 |"],
    ["%x %X %#x %#010x %o %#o", [255, 255, 255, 255, 8, 8], "ff FF 0xff 0x000000ff 10 010"],
    ["%016llx", [0xffff888000001234n], "ffff888000001234"],
    ["%08x", [-1], "ffffffff"],
    ["%hd %hhu", [70000, 300], "4464 44"],
    ["%s|%10s|%-10s|%.2s", ["abc", "abc", "abc", "abc"], "abc|       abc|abc       |ab"],
    ["%-15.15s|", ["abcdefghijklmnopqrst"], "abcdefghijklmno|"],
    ["%s", [0], "(null)"],
    ["%*d|%-*d|%.*s", [5, 42, 5, 42, 2, "abc"], "   42|42   |ab"],
    ["%*d|", [-5, 42], "42   |"],
    ["%c%c", [111, 107], "ok"],
    ["%px", [0xffffffff80100000n], "ffffffff80100000"],
    ["%pS", [0xffffffff80100010n], "0xffffffff80100010"],
    ["[%5lu.%06lu] ", [12, 3456], "[   12.003456] "],
    ["%d %d %d %d %d %d %d %d %d %d", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "1 2 3 4 5 6 7 8 9 10"],
  ])("%s", (fmt, args, expected) => {
    expect(format(fmt, args)).toEqual({ text: expected, length: expected.length });
  });

  it.each([1, 2, 5, 11, 12])("cuts the text to %i bytes and tells the whole length", (size) => {
    expect(format("%s-%05d", ["hello", 42], size)).toEqual({
      text: "hello-00042".slice(0, size - 1),
      length: 11,
    });
  });

  it("measures without a buffer", () => {
    expect(format("%s-%05d", ["hello", 42], 0).length).toBe(11);
  });
});
