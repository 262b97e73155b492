/**
 * Booting: boot_params (the "zero page", offsets of Documentation/x86/boot.rst), command lines, the banner,
 * utsname and the state of start_kernel.
 */
import { KERNEL_RELEASE as RELEASE } from "./config.ts";
import { abi } from "./dsl.ts";

/** One fixed build date: the image's bytes depend on its sources alone. */
const BUILD_DATE = "Thu Jan 1 00:00:00 UTC 2026";
const VERSION = `#1 SMP ${BUILD_DATE}`;
const UTS_LEN = 65;

export default abi({
  structs: `
    struct boot_params {
      u8 pad_000[0x1e8];
      u8 e820_entries;        /* 0x1e8 */
      u8 pad_1e9[0x2f];
      u32 ramdisk_image;      /* 0x218 */
      u32 ramdisk_size;       /* 0x21c */
      u8 pad_220[8];
      u32 cmd_line_ptr;       /* 0x228 */
      u8 pad_22c[0xa4];
      u8 e820_table[E820_MAX_ENTRIES_ZEROPAGE * BOOT_E820_ENTRY_SIZE];   /* 0x2d0 */
      u8 pad_cd0[0x330];
    };
    struct new_utsname {
      char sysname[65];
      char nodename[65];
      char release[65];
      char version[65];
      char machine[65];
      char domainname[65];
    };
    struct uts_namespace { struct new_utsname name; void *user_ns; void *ucounts; };
    /* A boot parameter: an early_param when \`early\`, else a __setup whose text includes the "=". */
    struct obs_kernel_param { const char *str; int (*setup_func)(char *value); int early; };
    struct initcall { int (*fn)(void); const char *name; int level; };
  `,
  rodata: `
    char linux_banner[200];
    char linux_proc_banner[64];
  `,
  data: `
    struct uts_namespace init_uts_ns;
    enum system_states { SYSTEM_BOOTING, SYSTEM_SCHEDULING, SYSTEM_FREEING_INITMEM, SYSTEM_RUNNING,
      SYSTEM_HALT, SYSTEM_POWER_OFF, SYSTEM_RESTART, SYSTEM_SUSPEND } system_state;
  `,
  bss: `
    struct rw_semaphore uts_sem;
    struct boot_params boot_params;
    char boot_command_line[COMMAND_LINE_SIZE];
    char *saved_command_line;
    char *static_command_line;
    char early_command_line[COMMAND_LINE_SIZE];
    char *execute_command;
    char *ramdisk_execute_command;
    char *argv_init[MAX_INIT_ARGS + 2];
    char *envp_init[MAX_INIT_ENVS + 2];
    char unknown_options[COMMAND_LINE_SIZE];
    int nr_init_args;
    int nr_init_envs;
    int kernel_init_step;
    int initcall_next;
    struct obs_kernel_param setup_params[SETUP_PARAMS_MAX];
    int nr_setup_params;
    struct initcall initcalls[INITCALLS_MAX];
    int nr_initcalls;
    unsigned int setup_max_cpus;
    bool reset_devices;
    int irqfixup;
    unsigned long loops_per_jiffy;
    bool early_params_done;
    bool initcall_debug;
    u64 initrd_start;
    u64 initrd_end;
  `,
  init: {
    linux_banner:
      `Linux version ${RELEASE} (builder@wasm-kdump) (asc 0.28.20, wasm-kdump ld 0.1.0) ${VERSION}\n`,
    linux_proc_banner: "%s version %s (builder@wasm-kdump) (asc 0.28.20) %s\n",
    init_uts_ns: utsname(["Linux", "(none)", RELEASE, VERSION, "x86_64", "(none)"]),
  },
  defines: {
    COMMAND_LINE_SIZE: 2048,
    SETUP_PARAMS_MAX: 40,
    INITCALLS_MAX: 40,
    MAX_INIT_ARGS: 32,
    MAX_INIT_ENVS: 32,
    E820_MAX_ENTRIES_ZEROPAGE: 128,
    BOOT_E820_ENTRY_SIZE: 20,
  },
  backtrace: [
    "x86_64_start_kernel",
    "x86_64_start_reservations",
    "start_kernel",
    "setup_arch",
    "rest_init",
    "kernel_init",
    "kernel_init_freeable",
    "do_one_initcall",
    "do_initcalls",
    "run_init_process",
  ],
  entry: ["startup_64"],
});

function utsname(fields: string[]): Uint8Array {
  const bytes = new Uint8Array(fields.length * UTS_LEN);
  fields.forEach((text, i) => bytes.set(new TextEncoder().encode(text), i * UTS_LEN));
  return bytes;
}
