/**
 * What the machine enters the kernel by: power-on or kexec, a system call, the first instruction on a task's
 * stack after a switch, an exception in the kernel or of a program, an interrupt at a poll. Parameters are
 * i32; see arch/ for each.
 */
export { startup_64 } from "./arch/kernel/setup";
export { entry_SYSCALL_64 } from "./arch/entry/syscall";
export { cpu_resume } from "./arch/kernel/process";
export { asm_exc, asm_exc_user } from "./arch/kernel/traps";
export { asm_interrupt } from "./arch/kernel/irq";
