/** What programs have been promised, and how far promises go (include/linux/{mman,percpu_counter}.h). */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    /* Exact: each change goes to the sum. */
    struct percpu_counter { raw_spinlock_t lock; s64 count; };
  `,
  data: `
    int sysctl_overcommit_memory;
    int sysctl_overcommit_ratio;
    unsigned long sysctl_overcommit_kbytes;
    unsigned long sysctl_user_reserve_kbytes;
    unsigned long sysctl_admin_reserve_kbytes;
  `,
  bss: `
    struct percpu_counter vm_committed_as;
  `,
  init: {
    sysctl_overcommit_ratio: 50,
    sysctl_user_reserve_kbytes: 131072,
    sysctl_admin_reserve_kbytes: 8192,
  },
  defines: {
    OVERCOMMIT_GUESS: 0,
    OVERCOMMIT_ALWAYS: 1,
    OVERCOMMIT_NEVER: 2,
  },
  targets: ["production"],
});
