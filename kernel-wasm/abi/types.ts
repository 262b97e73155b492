/** Base types that every subsystem uses: C names of Linux (include/linux/types.h, include/asm-generic). */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    typedef unsigned char u8;
    typedef unsigned short u16;
    typedef unsigned int u32;
    typedef unsigned long long u64;
    typedef signed char s8;
    typedef short s16;
    typedef int s32;
    typedef long long s64;
    typedef u8 __u8;
    typedef u16 __u16;
    typedef u32 __u32;
    typedef u64 __u64;
    typedef s32 __s32;
    typedef s64 __s64;
    typedef unsigned long size_t;
    typedef long ssize_t;
    typedef long long loff_t;
    typedef int pid_t;
    typedef unsigned int gfp_t;
    typedef unsigned int fmode_t;
    typedef unsigned int slab_flags_t;
    typedef unsigned short umode_t;
    typedef u32 dev_t;
    typedef unsigned long sector_t;
    typedef unsigned long pgoff_t;
    typedef unsigned long ulong;
    typedef u64 phys_addr_t;
    typedef u64 resource_size_t;
    typedef s64 ktime_t;
    typedef s64 time64_t;
    typedef u64 blkcnt_t;
    typedef unsigned int uid_t;
    typedef unsigned int gid_t;
    typedef struct { uid_t val; } kuid_t;
    typedef struct { gid_t val; } kgid_t;
    typedef struct { int counter; } atomic_t;
    typedef struct { s64 counter; } atomic64_t;
    typedef atomic64_t atomic_long_t;
    typedef struct refcount_struct { atomic_t refs; } refcount_t;
    struct list_head { struct list_head *next, *prev; };
    struct hlist_head { struct hlist_node *first; };
    struct hlist_node { struct hlist_node *next, **pprev; };
    struct callback_head { struct callback_head *next; void (*func)(struct callback_head *head); };
    typedef struct qspinlock { atomic_t val; } arch_spinlock_t;
    typedef struct raw_spinlock { arch_spinlock_t raw_lock; } raw_spinlock_t;
    typedef struct spinlock { struct raw_spinlock rlock; } spinlock_t;
    typedef struct { arch_spinlock_t raw_lock; } rwlock_t;
    struct mutex { atomic_long_t owner; spinlock_t wait_lock; struct list_head wait_list; };
    struct rw_semaphore { atomic_long_t count; atomic_long_t owner; raw_spinlock_t wait_lock;
      struct list_head wait_list; };
    struct rb_node { unsigned long __rb_parent_color; struct rb_node *rb_right; struct rb_node *rb_left; }
      __aligned(8);
    struct rb_root { struct rb_node *rb_node; };
    struct rb_root_cached { struct rb_root rb_root; struct rb_node *rb_leftmost; };
    struct kref { refcount_t refcount; };
    typedef struct cpumask { unsigned long bits[1]; } cpumask_t;
    typedef struct { unsigned long bits[1]; } nodemask_t;
  `,
});
