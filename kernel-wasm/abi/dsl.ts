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
  /** Functions and symbols that loadable modules may use, as Linux's EXPORT_SYMBOL() says it. */
  exports?: string[];
  /**
   * Which targets get the symbols, backtrace and entry lists; default: both kernels. Structs and defines go
   * to all.
   */
  targets?: Target[];
}

export function abi(spec: AbiSpec): AbiSpec {
  return spec;
}

/** One of the kernel's param_ops_*. */
export type ParameterType = "int" | "uint" | "ulong" | "bool" | "charp";

export interface ModuleParameter {
  name: string;
  type: ParameterType;
  /** The symbol that holds the value; the name when it is not said. */
  variable?: string;
  /** Mode of its file in /sys/module/NAME/parameters; 0: no file. */
  permissions: number;
  description: string;
}

/** What a loadable module says of itself besides its data: MODULE_LICENSE() and its kin, module_param(). */
export interface ModuleInfo {
  license: string;
  description: string;
  author: string;
  parameters?: readonly ModuleParameter[];
}
