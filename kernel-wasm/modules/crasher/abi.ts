/** The crasher module's data, parameters and what modinfo says of it. */
import { abi, type ModuleInfo } from "../../abi/dsl.ts";

export default abi({
  structs: `
    struct crash_command { const char *name; u64 run; unsigned int used; };
  `,
  data: `
    int delay_ms;
    bool quiet;
    char *message;
    char default_message[32];
  `,
  bss: `
    struct crash_command crash_commands[CRASH_COMMANDS_MAX];
    unsigned int nr_crash_commands;
    struct proc_dir_entry *crasher_entry;
    struct proc_ops crasher_proc_ops;
    struct timer_list crash_timer;
    unsigned long crash_count;
    char command_text[CRASH_TEXT_MAX];
  `,
  init: { delay_ms: 10, default_message: "crasher: asked to" },
  defines: { CRASH_COMMANDS_MAX: 16, CRASH_TEXT_MAX: 32 },
  backtrace: ["crasher_write", "crash_panic", "crash_bug", "crash_oops", "crash_timer_fn", "crash_recurse"],
});

export const info: ModuleInfo = {
  license: "GPL",
  description: "Crashes the kernel in a way that is written to /proc/crasher",
  author: "wasm-kdump",
  parameters: [
    { name: "delay_ms", type: "int", permissions: 0o644, description: "Milliseconds to the timer's crash" },
    { name: "quiet", type: "bool", permissions: 0o444, description: "Say nothing when loaded" },
    { name: "message", type: "charp", permissions: 0o444, description: "What panic says" },
  ],
};
