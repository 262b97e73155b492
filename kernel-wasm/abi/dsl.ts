/**
 * The form of the layout description: one `abi({...})` per subsystem, in C where C says it best. This is data
 * only; tools/build/layout parses it, places every struct and symbol and generates the kernel's accessors,
 * the readers of the tools, VMCOREINFO and debug information from it.
 */

/** The three modules the build makes. Production and capture are one kernel in two configurations. */
export type Target = "production" | "capture" | "purgatory";

export interface AbiSpec {
  /** C declarations: struct, union, enum, typedef. LP64 x86_64 rules, __packed, __aligned(N); any order. */
  structs?: string;
  /** C variable declarations, by section. `rodata` and `data` may have initial bytes in `init`. */
  rodata?: string;
  data?: string;
  page_aligned?: string;
  bss?: string;
  /** Per-CPU variables: placed at address 0 upwards, one copy a CPU. */
  percpu?: string;
  /**
   * Initial bytes: text becomes NUL-terminated ASCII, numbers take the variable's width. All else starts
   * zero.
   */
  init?: Record<string, string | Uint8Array | number | bigint>;
  /** A second name for a symbol's address. */
  aliases?: Record<string, string>;
  /** Constants: numbers, or expressions over earlier names, config values, enum constants and sizeof. */
  defines?: Record<string, number | bigint | string>;
  /** Functions that backtraces must show: never inlined; the link step fails when one is missing. */
  backtrace?: string[];
  /** Frameless entry code (asm in Linux): its calls are recorded, but it pushes no record of its own. */
  entry?: string[];
  /**
   * Which targets get the symbols, backtrace and entry lists; default: both kernels. Structs and defines go
   * to all.
   */
  targets?: Target[];
}

export function abi(spec: AbiSpec): AbiSpec {
  return spec;
}
