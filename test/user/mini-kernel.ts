/**
 * A test kernel with one user task: page tables, a stack with arguments, and a few system calls that answer
 * as Linux would, or with what the test looks for.
 *
 *     0x200000 TSS    0x208000 top of the kernel stack    0x210000 page tables    0x220000 user pages
 */

/** Programs run under this name. */
export const PROGRAM = "test";

/** Characters of `text` as stores at `at`. */
function bytes(at: string, text: string): string {
  return Array.from(text, (c, i) => `store<u8>(${at} + ${i}, ${c.charCodeAt(0)});`).join(" ");
}

/** `extra` handles further system calls: the body of a function (nr, a, b, c, d, e, f) that returns i64. */
export const miniKernel = (extra = "return -38;", name = PROGRAM): string => `
const TSS: usize = 0x200000, TOP: usize = 0x208000, REGS: usize = TOP - 168;
const PML4: usize = 0x210000, PDPT: usize = 0x211000, PD_LOW: usize = 0x212000, PD_HIGH: usize = 0x213000;
const PT_TEXT: usize = 0x214000, PT_HEAP: usize = 0x215000, PT_STACK: usize = 0x216000;
const TEXT: usize = 0x220000, STACK: usize = 0x221000, HEAP: usize = 0x222000, HEAP_PAGES: usize = 8;
const LOG: usize = 0x1f0000;

function entry(table: usize, index: usize, pa: usize, flags: u64): void {
  store<u64>(table + index * 8, <u64>pa | flags);
}

function map(): void {
  memory.fill(PML4, 0, 0x10000);
  entry(PML4, 0, PDPT, 7);
  entry(PDPT, 0, PD_LOW, 7);
  entry(PDPT, 2, PD_HIGH, 7);
  entry(PD_LOW, 2, PT_TEXT, 7);       // 0x400000
  entry(PD_LOW, 128, PT_HEAP, 7);     // 0x10000000
  entry(PD_HIGH, 511, PT_STACK, 7);   // 0xbfe00000
  entry(PT_TEXT, 0, TEXT, 5);
  entry(PT_STACK, 510, STACK, 7);     // 0xbfffe000
  write_cr3(PML4);
}

function exec(): void {
  ${bytes("TEXT", `#!program ${name}\n`)}
  // The stack: argc, argv, NULL, then the strings.
  store<u64>(STACK + 0xf00, 2);
  store<u64>(STACK + 0xf08, 0xbfffef80);
  store<u64>(STACK + 0xf10, 0xbfffef90);
  store<u64>(STACK + 0xf18, 0);
  ${bytes("STACK + 0xf80", `/bin/${name}\0`)}
  ${bytes("STACK + 0xf90", "--flag\0")}
  store<u64>(REGS + 40, 0);
  store<u64>(REGS + 128, 0x400000);
  store<u64>(REGS + 136, 0x33);
  store<u64>(REGS + 160, 0x2b);
  store<u64>(REGS + 152, 0xbfffef00);
}

export function startup_64(params: usize): void {
  memory.fill(LOG, 0, 4096);
  store<u64>(TSS + 4, 0xffff888000000000 | <u64>TOP);
  ltr(TSS);
  map();
  switch_to();
}

export function cpu_resume(): void {
  if (load<u32>(LOG) == 0) { store<u32>(LOG, 1); exec(); return; }
  // A system call that slept is restarted.
  store<i64>(REGS + 80, dispatch(load<u32>(LOG + 4), load<u32>(LOG + 8), 0, 0, 0, 0, 0));
}

export function entry_SYSCALL_64(
  nr: i32, a: u32, b: u32, c: u32, d: u32, e: u32, f: u32, bx: u32,
): void {
  store<u64>(REGS + 40, bx);
  store<u32>(LOG + 16, <u32>sp);
  store<u64>(REGS + 128, 0x400002);
  store<i64>(REGS + 80, dispatch(nr, a, b, c, d, e, f));
}

/**
 * Physical address of a heap address: pages were mapped in order, backwards, so that they are not
 * contiguous.
 */
function heap(va: usize): usize {
  const page = (va - 0x10000000) >> 12;
  return HEAP + (HEAP_PAGES - 1 - page) * 4096 + (va & 4095);
}

function brk(end: u32): i64 {
  const old = load<u32>(LOG + 12);
  if (end < 0x10000000 || end > 0x10000000 + <u32>HEAP_PAGES * 4096) return old ? old : 0x10000000;
  for (let va: u32 = 0x10000000; va < end; va += 4096) {
    entry(PT_HEAP, (va - 0x10000000) >> 12, heap(va) & ~4095, 7);
  }
  store<u32>(LOG + 12, end);
  return end;
}

function dispatch(nr: i32, a: u32, b: u32, c: u32, d: u32, e: u32, f: u32): i64 {
  if (nr == 12) return brk(a);
  if (nr == 1) {
    for (let i: u32 = 0; i < c; i++) putc(load<u8>(heap(b + i)));
    return c;
  }
  if (nr == 231) { say("exit "); hex(a); newline(); power_off(); }
  return other(nr, a, b, c, d, e, f);
}

function other(nr: i32, a: u32, b: u32, c: u32, d: u32, e: u32, f: u32): i64 {
  ${extra}
}
`;
