/** What the machine enters a kernel for several CPUs by, besides entry.ts: a startup IPI. */
export { secondary_startup_64 } from "./arch/kernel/smpboot";
