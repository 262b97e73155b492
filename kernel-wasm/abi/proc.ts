/**
 * procfs, sysfs and seq_file: entries, their operations, and the tables behind /proc/sys. Layouts follow
 * fs/proc/internal.h and include/linux/{proc_fs,seq_file,sysctl,kernfs}.h.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct proc_ops {
      unsigned int proc_flags;
      int (*proc_open)(struct inode *, struct file *);
      ssize_t (*proc_read)(struct file *, u64 buf, size_t count, loff_t pos);
      ssize_t (*proc_write)(struct file *, u64 buf, size_t count, loff_t pos);
      loff_t (*proc_lseek)(struct file *, loff_t, int);
      int (*proc_release)(struct inode *, struct file *);
      int (*proc_mmap)(struct file *, struct vm_area_struct *);
      ssize_t (*proc_get_extents)(struct file *, loff_t pos, u64 len, struct hostfs_extent *, int max);
    };
    struct proc_dir_entry {
      atomic_t in_use;
      refcount_t refcnt;
      const struct inode_operations *proc_iops;
      const struct proc_ops *proc_ops;
      int (*single_show)(struct seq_file *, void *);
      void *data;
      unsigned int low_ino;
      unsigned int nlink;
      kuid_t uid;
      kgid_t gid;
      loff_t size;
      struct proc_dir_entry *parent;
      struct list_head subdir;       /* children, in order of creation (Linux: an rb tree) */
      struct list_head subdir_node;
      const char *name;
      umode_t mode;
      u8 flags;
      u8 namelen;
    };
    struct seq_file {
      char *buf;
      size_t size;
      size_t from;
      size_t count;
      size_t pad_until;
      loff_t index;
      loff_t read_pos;
      struct mutex lock;
      const struct seq_operations *op;
      const struct file *file;
      void *private;
    };
    /* Records by number; a file of single_open() has show alone. */
    struct seq_operations {
      void *(*start)(struct seq_file *, loff_t pos);
      void (*stop)(struct seq_file *, void *);
      void *(*next)(struct seq_file *, void *, loff_t pos);
      int (*show)(struct seq_file *, void *);
    };

    struct ctl_table {
      const char *procname;
      void *data;
      int maxlen;
      umode_t mode;
      ssize_t (*proc_handler)(struct ctl_table *, int write, char *buffer, size_t len);
      long extra1;                   /* the smallest and the largest value (Linux: pointers to them) */
      long extra2;
    };

    struct kernfs_node {
      atomic_t count;
      atomic_t active;               /* negative: removed */
      struct kernfs_node *parent;
      const char *name;
      struct list_head children;
      struct list_head sibling;
      umode_t mode;
      unsigned short flags;
      u64 id;
      void *priv;
      loff_t size;                   /* as stat shows it; 0: a page */
      ssize_t (*show)(struct kernfs_node *, char *buf);
      ssize_t (*store)(struct kernfs_node *, const char *buf, size_t count);
    };

    /* A file of /proc/PID: text of show(m, task), or a link to what get_link(task, path) finds. */
    struct pid_entry {
      const char *name;
      unsigned int len;
      umode_t mode;
      int (*show)(struct seq_file *, struct task_struct *);
      int (*get_link)(struct task_struct *, struct path *);
      const struct inode_operations *iop;   /* of a directory */
      const struct file_operations *fop;    /* of a directory, or a file that can be written */
    };
    struct proc_inode { struct pid *pid; unsigned int fd; struct pid_entry *entry; };

    /* kexec_load_limit_panic, kexec_load_limit_reboot: loads that are left, -1 for any number */
    struct kexec_load_limit { struct mutex mutex; int limit; };

    struct cpuinfo_x86 {
      u8 x86, x86_vendor, x86_model, x86_stepping;
      int x86_tlbsize;
      u32 extended_cpuid_level;
      int cpuid_level;
      char x86_vendor_id[16];
      char x86_model_id[64];
      unsigned int x86_cache_size;
      int x86_cache_alignment;
      u8 x86_virt_bits, x86_phys_bits;
      unsigned long loops_per_jiffy;
      u16 x86_clflush_size;
      u16 phys_proc_id, cpu_core_id, cpu_index;
    };
  `,
  data: `
    struct cpuinfo_x86 boot_cpu_data;
    int panic_on_unrecovered_nmi;
    int unknown_nmi_panic;
    int cap_last_cap;
    int ngroups_max;
    struct kexec_load_limit load_limit_panic;
    struct kexec_load_limit load_limit_reboot;
  `,
  bss: `
    /* What a write to kernel.tainted asks for; read, it is tainted_mask. */
    unsigned long tainted_written;
    struct mutex tainted_mutex;
    struct inode_operations proc_sys_inode_operations, proc_link_inode_operations;
    struct inode_operations proc_root_inode_operations, proc_self_inode_operations;
    struct inode_operations proc_tgid_base_inode_operations;
    struct inode_operations proc_fd_inode_operations;
    struct inode_operations proc_pid_link_inode_operations;
    struct file_operations proc_root_operations;
    struct file_operations proc_tgid_base_operations;
    struct file_operations proc_fd_operations;
    struct file_operations proc_single_file_operations;
    struct file_operations proc_pid_set_comm_operations;
    struct file_operations proc_oom_score_adj_operations;
    struct inode_operations proc_task_inode_operations;
    struct file_operations proc_task_operations;
    struct dentry_operations pid_dentry_operations;
    struct super_operations proc_sops, ramfs_ops, sysfs_ops;
    struct dentry_operations kernfs_dops;
    struct super_block *sysfs_sb;
    struct inode_operations simple_symlink_inode_operations;
    struct pid_entry tgid_base_stuff[PID_ENTRIES_MAX];
    int nr_tgid_base_stuff;
    struct proc_dir_entry *proc_sys_vm;
    struct kernfs_node *cpu_kobj;
    struct proc_ops config_gz_proc_ops;
    struct proc_ops kallsyms_proc_ops;
  `,
  init: {
    boot_cpu_data: cpuinfo(),
    cap_last_cap: 40,
    load_limit_panic: unlimited(),
    load_limit_reboot: unlimited(),
    ngroups_max: 65536,
  },
  defines: {
    PID_ENTRIES_MAX: 32,
    PROC_DYNAMIC_FIRST: 0xf0000000,
    KSYM_NAME_LEN: 128,
    NT_GNU_BUILD_ID: 3,
    KN_DEACTIVATED_BIAS: "-0x7fffffff",
  },
  backtrace: ["seq_read_iter", "proc_sys_call_handler"],
  targets: ["production"],
});

/** A kexec_load_limit of -1, behind its mutex. */
function unlimited(): Uint8Array {
  const bytes = new Uint8Array(40);
  new DataView(bytes.buffer).setInt32(32, -1, true);
  return bytes;
}

/** The processor as it presents itself: 48 bits of virtual and 32 bits of physical addresses. */
function cpuinfo(): Uint8Array {
  const bytes = new Uint8Array(128);
  const view = new DataView(bytes.buffer);
  bytes.set([6, 0xff, 0, 0], 0);
  view.setInt32(12, -1, true);
  bytes.set(new TextEncoder().encode("WebAssembly!"), 16);
  bytes.set(new TextEncoder().encode("WebAssembly virtual CPU"), 32);
  view.setInt32(100, 64, true);
  bytes.set([48, 32], 104);
  view.setUint16(120, 64, true);
  return bytes;
}
