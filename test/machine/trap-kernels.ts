/** Kernels that trap, one way each, and what the handler must be told. */

/** A kernel whose exception handler prints what it got and powers off. */
export const trapKernel = (body: string, more = ""): string => `
const TSS: usize = 0x200000;
export function asm_exc(vector: i32, error_code: i32, lo: i32, hi: i32): void {
  hex(vector); say(" "); hex(error_code); say(" "); hex(hi); hex(lo); say(" "); hex(sp); newline();
  power_off();
}
function two(a: i32): i32 { return a + 1; }
function three(a: i32, b: i32): i32 { return a + b; }
let kept = two;
let other = three;
@inline function zero(params: usize): i32 { return load<i32>(0x300000); }
${more}
export function startup_64(params: usize): void {
  store<u32>(0x300000, 0);
  store<u64>(TSS + 4, 0xffff888000208000);
  store<u64>(TSS + 36, 0xffff888000219000);
  ltr(TSS);
  sp = 0x207f00;
  ${body}
}`;

/** Within the guard of the stack that ends at 0x208000. */
export const GUARD_SP = 0x204080;

export const traps: [string, string, string][] = [
  ["unreachable", "unreachable();", "00000006 00000000 0000000000000000 00207f00"],
  ["divide by zero", "hex(5 / zero(params));", "00000000 00000000 0000000000000000 00207f00"],
  ["remainder by zero", "hex(5 % zero(params));", "00000000 00000000 0000000000000000 00207f00"],
  [
    "divide overflow",
    "hex((<i32>0x80000000 + zero(params)) / (zero(params) - 1));",
    "00000000 00000000 0000000000000000 00207f00",
  ],
  [
    "a load beyond memory",
    "hex(load<u32>(0xffff0000 + zero(params)));",
    "0000000e 00000000 ffff888000400000 00207f00",
  ],
  [
    "a store beyond memory",
    "store<u32>(0x400000 + zero(params), 1);",
    "0000000e 00000000 ffff888000400000 00207f00",
  ],
  [
    "memory.fill beyond memory",
    "memory.fill(0x3ffff0, 0, 0x100 + zero(params));",
    "0000000e 00000000 ffff888000400000 00207f00",
  ],
  [
    "an indirect call of another type",
    "call_indirect<i32>(load<i32>(0x300000) + changetype<i32>(1), 1, 2, 3);",
    "0000000d 00000000 0000000000000000 00207f00",
  ],
  [
    "an indirect call beyond the table",
    "call_indirect<i32>(0x1000 + zero(params), 1);",
    "0000000d 00000000 0000000000000000 00207f00",
  ],
  [
    "an unaligned atomic",
    "atomic.store<u32>(0x300001 + zero(params), 1);",
    "00000011 00000000 0000000000000000 00207f00",
  ],
  ["hw.page_fault", "page_fault(0x00000122, 0xdead0000, 2);", "0000000e 00000002 dead000000000122 00207f00"],
  [
    "a clock read to beyond memory",
    "rdtsc(0x3ffffc + zero(params));",
    "0000000e 00000002 ffff8880003ffffc 00207f00",
  ],
  [
    "a string from beyond memory",
    "outs8(0x3f8, 0x3fffff, 2);",
    "0000000e 00000000 ffff8880003fffff 00207f00",
  ],
  [
    "the stack guard",
    `sp = ${GUARD_SP}; unreachable();`,
    `00000008 00000000 00000000${GUARD_SP.toString(16).padStart(8, "0")} 00219000`,
  ],
  [
    "unreachable with an empty stack",
    "sp = 0x208000; unreachable();",
    "00000006 00000000 0000000000000000 00208000",
  ],
];
