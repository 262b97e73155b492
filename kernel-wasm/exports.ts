/**
 * Functions that modules alone call. What else the layout's `exports` list names is called by the kernel
 * itself, so the compiler finds it.
 */
export { proc_remove } from "./fs/proc/generic";
export { module_put, try_module_get } from "./kernel/module/main";
export { add_timer } from "./kernel/time/timer";
