/**
 * The two configurations of the one kernel (and purgatory's), Linux's CONFIG_ names where Linux has them.
 * Values are constants in kernel code, so `if (CONFIG_X)` is folded, and may be used in C expressions of the
 * layout.
 */
import type { Target } from "./dsl.ts";

export type ConfigValue = boolean | number;

/**
 * UTS release of both kernels: three numeric parts, below 5.17 (slab state in struct page), as the stock
 * tools need.
 */
export const KERNEL_RELEASE = "5.15.0-wasm";

const common: Record<string, ConfigValue> = {
  CONFIG_HZ: 1000,
  CONFIG_NR_CPUS: 8,
  CONFIG_64BIT: true,
  CONFIG_SMP: true,
  CONFIG_PANIC_TIMEOUT: 0,
  CONFIG_MESSAGE_LOGLEVEL_DEFAULT: 4,
  CONFIG_CONSOLE_LOGLEVEL_DEFAULT: 7,
};

const production: Record<string, ConfigValue> = {
  ...common,
  CONFIG_DEBUG_FS: true,
  CONFIG_LKDTM: true,
  CONFIG_MODULES: true,
  CONFIG_MODULE_UNLOAD: true,
  CONFIG_DEBUG_LIST: true,
  CONFIG_BUG_ON_DATA_CORRUPTION: true,
  CONFIG_STRICT_KERNEL_RWX: true,
  CONFIG_CRASH_DUMP: false,
  CONFIG_PROC_VMCORE: false,
  CONFIG_KEXEC_CORE: true,
  CONFIG_KEXEC_FILE: true,
  CONFIG_NET: true,
  CONFIG_IKCONFIG: true,
  CONFIG_IKCONFIG_PROC: true,
  CONFIG_KALLSYMS: true,
  CONFIG_SHUFFLE_PAGE_ALLOCATOR: true,
  CONFIG_SLAB_FREELIST_RANDOM: true,
  CONFIG_LOG_BUF_SHIFT: 17,
  CONFIG_BASE_SMALL: 0,
};

const capture: Record<string, ConfigValue> = {
  ...common,
  CONFIG_DEBUG_FS: false,
  CONFIG_LKDTM: false,
  CONFIG_MODULES: false,
  CONFIG_MODULE_UNLOAD: false,
  CONFIG_DEBUG_LIST: false,
  CONFIG_BUG_ON_DATA_CORRUPTION: false,
  CONFIG_STRICT_KERNEL_RWX: false,
  CONFIG_NR_CPUS: 1,
  CONFIG_SMP: false,
  CONFIG_CRASH_DUMP: true,
  CONFIG_PROC_VMCORE: true,
  CONFIG_KEXEC_CORE: false,
  CONFIG_KEXEC_FILE: false,
  CONFIG_NET: false,
  CONFIG_IKCONFIG: false,
  CONFIG_IKCONFIG_PROC: false,
  CONFIG_KALLSYMS: true,
  CONFIG_SHUFFLE_PAGE_ALLOCATOR: false,
  CONFIG_SLAB_FREELIST_RANDOM: false,
  CONFIG_LOG_BUF_SHIFT: 12,
  CONFIG_BASE_SMALL: 1,
};

/** Purgatory reads structs that the kernels share, so their sizes must be the same there. */
export const config: Record<Target, Record<string, ConfigValue>> = {
  production,
  capture,
  purgatory: production,
};
