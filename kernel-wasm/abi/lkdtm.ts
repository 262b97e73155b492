/**
 * LKDTM (drivers/misc/lkdtm): the table of crash types, and the data that some of them damage or try to
 * execute.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct crashtype { const char *name; void (*func)(void); };
    struct lkdtm_list { struct list_head node; };
  `,
  targets: ["production"],
  bss: `
    struct crashtype crashtypes[CRASHTYPES_MAX];
    int nr_crashtypes;
    struct file_operations lkdtm_direct_fops;
    int lkdtm_warn_counter;
    struct list_head lkdtm_list_head;
    struct lkdtm_list lkdtm_list_good, lkdtm_list_bad;
    u64 lkdtm_list_target[2];
    u8 lkdtm_data_area[LKDTM_EXEC_SIZE];
    u8 lkdtm_unaligned[8];
    u32 lkdtm_array[8];
    u32 lkdtm_array_after[8];
    struct refcount_struct lkdtm_refcount;
  `,
  data: `
    int lkdtm_overflow_value;
  `,
  init: { lkdtm_overflow_value: 0x7fffffff },
  defines: { CRASHTYPES_MAX: 64, LKDTM_EXEC_SIZE: 64 },
  backtrace: [
    "__list_add_valid",
    "__list_del_entry_valid",
    "__stack_chk_fail",
    "cache_from_obj",
    "refcount_warn_saturate",
    "mmu_access",
    "direct_entry",
    "lkdtm_do_action",
    "lkdtm_PANIC",
    "lkdtm_BUG",
    "lkdtm_WARNING",
    "lkdtm_WARNING_MESSAGE",
    "lkdtm_EXCEPTION",
    "lkdtm_LOOP",
    "lkdtm_SOFTLOCKUP",
    "lkdtm_HARDLOCKUP",
    "lkdtm_HUNG_TASK",
    "lkdtm_EXHAUST_STACK",
    "recursive_loop",
    "lkdtm_CORRUPT_STACK",
    "lkdtm_CORRUPT_STACK_STRONG",
    "lkdtm_CORRUPT_LIST_ADD",
    "lkdtm_CORRUPT_LIST_DEL",
    "lkdtm_VMALLOC_LINEAR_OVERFLOW",
    "lkdtm_SLAB_FREE_DOUBLE",
    "lkdtm_SLAB_FREE_CROSS",
    "lkdtm_SLAB_FREE_PAGE",
    "lkdtm_WRITE_RO",
    "lkdtm_WRITE_KERN",
    "lkdtm_EXEC_DATA",
    "lkdtm_EXEC_STACK",
    "lkdtm_EXEC_KMALLOC",
    "lkdtm_EXEC_VMALLOC",
    "lkdtm_EXEC_RODATA",
    "lkdtm_EXEC_NULL",
    "lkdtm_ACCESS_NULL",
    "execute_location",
    "lkdtm_REFCOUNT_INC_OVERFLOW",
    "lkdtm_REFCOUNT_DEC_ZERO",
    "lkdtm_REFCOUNT_DEC_AND_TEST_NEGATIVE",
    "lkdtm_REFCOUNT_INC_ZERO",
    "lkdtm_REFCOUNT_INC_NOT_ZERO_OVERFLOW",
  ],
});
