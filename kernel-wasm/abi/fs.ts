/**
 * The virtual file system: objects that tools walk (file, dentry, inode, super_block, mount) and the tables
 * of operations through which file systems plug in. Layouts follow
 * include/linux/{fs,dcache,mount,path,proc_fs}.h.
 *
 * Operations take plain values where Linux passes iov_iter and loff_t pointers: `buf` is a 64-bit address, in
 * the user half (checked by access_ok and copied through the page tables) or a kernel address; `pos` is
 * passed by value and the caller advances the file's position by the bytes returned.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct lockref { union { u64 lock_count; struct { spinlock_t lock; int count; }; }; };
    struct qstr { union { struct { u32 hash; u32 len; }; u64 hash_len; }; const unsigned char *name; };
    struct hlist_bl_node { struct hlist_bl_node *next, **pprev; };
    struct path { struct vfsmount *mnt; struct dentry *dentry; };
    struct timespec64 { time64_t tv_sec; long tv_nsec; };

    /* Before a name that does not fit into its dentry. */
    struct external_name { atomic_t count; u32 pad; };
    struct dentry {
      unsigned int d_flags;
      u32 d_seq;
      struct hlist_bl_node d_hash;
      struct dentry *d_parent;
      struct qstr d_name;
      struct inode *d_inode;
      unsigned char d_iname[32];
      struct lockref d_lockref;
      const struct dentry_operations *d_op;
      struct super_block *d_sb;
      unsigned long d_time;
      void *d_fsdata;
      struct list_head d_lru;
      struct list_head d_child;
      struct list_head d_subdirs;
      struct hlist_node d_alias;
    };

    struct dentry_operations {
      int (*d_revalidate)(struct dentry *, unsigned int);
      int (*d_delete)(const struct dentry *);
      char *(*d_dname)(struct dentry *, char *, int);
    };

    struct address_space {
      struct inode *host;
      struct xarray i_pages;
      gfp_t gfp_mask;
      atomic_t i_mmap_writable;
      struct rb_root_cached i_mmap;  /* its mappings, by vm_pgoff */
      struct rw_semaphore i_mmap_rwsem;
      unsigned long nrpages;
      pgoff_t writeback_index;
      const struct address_space_operations *a_ops;
      unsigned long flags;
      spinlock_t private_lock;
      struct list_head private_list;
      void *private_data;
    } __aligned(8);

    struct inode {
      umode_t i_mode;
      unsigned short i_opflags;
      kuid_t i_uid;
      kgid_t i_gid;
      unsigned int i_flags;
      const struct inode_operations *i_op;
      struct super_block *i_sb;
      struct address_space *i_mapping;
      unsigned long i_ino;
      unsigned int i_nlink;
      dev_t i_rdev;
      loff_t i_size;
      struct timespec64 i_atime;
      struct timespec64 i_mtime;
      struct timespec64 i_ctime;
      spinlock_t i_lock;
      u8 i_blkbits;
      blkcnt_t i_blocks;
      unsigned long i_state;
      struct rw_semaphore i_rwsem;
      struct hlist_node i_hash;
      struct list_head i_lru;
      struct list_head i_sb_list;
      struct hlist_head i_dentry;
      atomic_t i_count;
      atomic_t i_writecount;
      const struct file_operations *i_fop;
      struct address_space i_data;
      union { struct cdev *i_cdev; char *i_link; };   /* i_link: a symbolic link's text, kept in memory */
      void *i_private;
    };

    struct file {
      struct path f_path;
      struct inode *f_inode;
      const struct file_operations *f_op;
      spinlock_t f_lock;
      atomic_long_t f_count;
      unsigned int f_flags;
      fmode_t f_mode;
      struct mutex f_pos_lock;
      loff_t f_pos;
      const struct cred *f_cred;
      void *private_data;
      struct address_space *f_mapping;
    };

    struct dir_context {
      int (*actor)(struct dir_context *, const char *, int, loff_t, u64, unsigned int);
      loff_t pos;
      u64 buf;               /* user address of the next record */
      u64 buf_start;
      size_t count;          /* room left */
      int error;
    };

    struct file_operations {
      loff_t (*llseek)(struct file *, loff_t, int);
      ssize_t (*read)(struct file *, u64 buf, size_t count, loff_t pos);
      ssize_t (*write)(struct file *, u64 buf, size_t count, loff_t pos);
      int (*iterate_shared)(struct file *, struct dir_context *);
      int (*mmap)(struct file *, struct vm_area_struct *);
      int (*open)(struct inode *, struct file *);
      int (*release)(struct inode *, struct file *);
      int (*fsync)(struct file *, loff_t, loff_t, int datasync);
      /* For copies that do not touch the data: physical extents of [pos, pos + len); their number. */
      ssize_t (*get_extents)(struct file *, loff_t pos, u64 len, struct hostfs_extent *, int max);
      /* Writes them all; returns bytes. */
      ssize_t (*write_extents)(struct file *, loff_t pos, struct hostfs_extent *, int n);
    };

    struct inode_operations {
      struct dentry *(*lookup)(struct inode *, struct dentry *, unsigned int flags);
      int (*create)(struct inode *, struct dentry *, umode_t, int excl);
      int (*mkdir)(struct inode *, struct dentry *, umode_t);
      int (*rmdir)(struct inode *, struct dentry *);
      int (*unlink)(struct inode *, struct dentry *);
      int (*mknod)(struct inode *, struct dentry *, umode_t, dev_t);
      int (*rename)(struct inode *, struct dentry *, struct inode *, struct dentry *, unsigned int flags);
      int (*setattr)(struct dentry *, struct iattr *);
      /* A link's text, which the walk frees; NULL when the operation has moved the walk itself. */
      char *(*get_link)(struct dentry *, struct nameidata *);
      int (*readlink)(struct dentry *, u64 buf, int size);
      int (*symlink)(struct inode *, struct dentry *, const char *);
      int (*permission)(struct inode *, int mask);
      int (*getattr)(struct inode *);     /* brings the inode up to date; null: it always is */
    };

    struct iattr { unsigned int ia_valid; umode_t ia_mode; loff_t ia_size; struct file *ia_file; };

    /* arch/x86/include/uapi/asm/stat.h: what stat(2) hands to the user, 144 bytes */
    struct stat {
      unsigned long st_dev, st_ino, st_nlink;
      unsigned int st_mode, st_uid, st_gid, __pad0;
      unsigned long st_rdev;
      long st_size, st_blksize, st_blocks;
      unsigned long st_atime, st_atime_nsec, st_mtime, st_mtime_nsec, st_ctime, st_ctime_nsec;
      long __unused[3];
    };

    struct linux_dirent64 {
      u64 d_ino;
      s64 d_off;
      unsigned short d_reclen;
      unsigned char d_type;
      char d_name[5];
    };

    struct super_operations { void (*evict_inode)(struct inode *); };

    struct super_block {
      struct list_head s_list;
      dev_t s_dev;
      unsigned char s_blocksize_bits;
      unsigned long s_blocksize;
      loff_t s_maxbytes;
      struct file_system_type *s_type;
      const struct super_operations *s_op;
      unsigned long s_flags;
      unsigned long s_iflags;
      unsigned long s_magic;
      struct dentry *s_root;
      struct rw_semaphore s_umount;
      int s_count;
      atomic_t s_active;
      struct list_head s_mounts;
      void *s_fs_info;
      char s_id[32];
      struct mutex s_vfs_rename_mutex;
      const char *s_subtype;
      const struct dentry_operations *s_d_op;
      struct list_lru s_dentry_lru;
      spinlock_t s_inode_list_lock;
      struct list_head s_inodes;
    };

    /* include/linux/list_lru.h; one node of memory */
    struct list_lru_one { struct list_head list; long nr_items; };
    struct list_lru_node { spinlock_t lock; struct list_lru_one lru; long nr_items; };
    struct list_lru { struct list_lru_node *node; };

    struct file_system_type {
      const char *name;
      int fs_flags;
      /* returns the root dentry or an ERR_PTR */
      struct dentry *(*mount)(struct file_system_type *, int flags, const char *dev_name, void *data);
      void (*kill_sb)(struct super_block *);
      struct file_system_type *next;
      struct list_head fs_supers;
    };

    struct vfsmount { struct dentry *mnt_root; struct super_block *mnt_sb; int mnt_flags; };
    struct mount {
      struct hlist_node mnt_hash;
      struct mount *mnt_parent;
      struct dentry *mnt_mountpoint;
      struct vfsmount mnt;
      int mnt_count;
      struct list_head mnt_mounts;
      struct list_head mnt_child;
      struct list_head mnt_instance;
      const char *mnt_devname;
      struct list_head mnt_list;
      struct mnt_namespace *mnt_ns;
      int mnt_id;
    };
    struct ns_common { atomic_long_t stashed; const void *ops; unsigned int inum; refcount_t count; };
    struct mnt_namespace {
      struct ns_common ns;
      struct mount *root;
      struct list_head list;
      spinlock_t ns_lock;
      u64 seq;
      unsigned int mounts;
    };

    struct filename { const char *name; int refcnt; };
    struct nameidata {
      struct path path;
      struct qstr last;
      struct path root;
      struct inode *inode;
      unsigned int flags;
      unsigned int depth;
      int last_type;
      struct filename *name;
      char *link_text;               /* of the link that O_CREAT follows */
    };

    struct fs_struct { int users; spinlock_t lock; u32 seq; int umask; int in_exec; struct path root, pwd; };
    struct fdtable {
      unsigned int max_fds;
      struct file **fd;
      unsigned long *close_on_exec;
      unsigned long *open_fds;
      unsigned long *full_fds_bits;
    };
    struct files_struct {
      atomic_t count;
      bool resize_in_progress;
      struct fdtable *fdt;
      struct fdtable fdtab;
      spinlock_t file_lock;
      unsigned int next_fd;
      unsigned long close_on_exec_init[1];
      unsigned long open_fds_init[1];
      unsigned long full_fds_bits_init[1];
      struct file *fd_array[NR_OPEN_DEFAULT];
    };

    struct cdev { struct list_head list; const struct file_operations *ops; dev_t dev; unsigned int count; };
    struct char_device_struct {
      struct char_device_struct *next;
      unsigned int major;
      unsigned int baseminor;
      int minorct;
      char name[64];
      struct cdev *cdev;
    };

    struct linux_binprm {
      struct file *file;
      struct mm_struct *mm;
      struct vm_area_struct *vma;    /* the stack */
      unsigned long p;               /* user stack pointer while arguments are copied */
      int argc, envc;
      const char *filename;
      unsigned long exec;
      char buf[BINPRM_BUF_SIZE];
    };
  `,
  defines: {
    NR_OPEN_DEFAULT: 64,
    CHRDEV_MAJOR_HASH_SIZE: 255,
    DNAME_INLINE_LEN: 32,
    PATH_MAX: 4096,
    BINPRM_BUF_SIZE: 256,
    NAME_MAX: 255,
    MAX_RW_COUNT: 0x7ffff000,

    O_ACCMODE: 0o3,
    O_RDONLY: 0,
    O_WRONLY: 1,
    O_RDWR: 2,
    O_CREAT: 0o100,
    O_EXCL: 0o200,
    O_NOCTTY: 0o400,
    O_TRUNC: 0o1000,
    O_APPEND: 0o2000,
    O_NONBLOCK: 0o4000,
    O_LARGEFILE: 0o100000,
    O_DIRECTORY: 0o200000,
    O_NOFOLLOW: 0o400000,
    O_CLOEXEC: 0o2000000,
    AT_FDCWD: -100,
    RENAME_NOREPLACE: 1,

    FMODE_READ: 1,
    FMODE_WRITE: 2,
    FMODE_LSEEK: 4,
    FMODE_PREAD: 8,
    FMODE_PWRITE: 0x10,
    FMODE_ATOMIC_POS: 0x8000,

    SEEK_SET: 0,
    SEEK_CUR: 1,
    SEEK_END: 2,

    S_IFMT: 0o170000,
    S_IFSOCK: 0o140000,
    S_IFLNK: 0o120000,
    S_IFREG: 0o100000,
    S_IFBLK: 0o060000,
    S_IFDIR: 0o040000,
    S_IFCHR: 0o020000,
    S_IFIFO: 0o010000,

    MAY_EXEC: 1,
    MAY_WRITE: 2,
    MAY_READ: 4,
    MAXSYMLINKS: 40,

    ATTR_MODE: 1,
    ATTR_SIZE: 8,

    LOOKUP_FOLLOW: 1,
    LOOKUP_DIRECTORY: 2,
    LOOKUP_PARENT: 0x10,
    LAST_NORM: 0,
    LAST_ROOT: 1,
    LAST_DOT: 2,
    LAST_DOTDOT: 3,

    DCACHE_MOUNTED: 0x00010000,
    DCACHE_OP_DELETE: 0x00000008,
    DCACHE_LRU_LIST: 0x00080000,
    DCACHE_PAR_LOOKUP: 0x10000000,
    S_DEAD: 16,

    MINORBITS: 20,
    MEM_MAJOR: 1,
    TTYAUX_MAJOR: 5,
    MNT_NODEV: 2,
    PROC_ROOT_INO: 1,
    RAMFS_MAGIC: 0x858458f6,
    PROC_SUPER_MAGIC: 0x9fa0,
    SYSFS_MAGIC: 0x62656572,
    SB_RDONLY: 1,
  },
  data: `
    struct file_system_type *file_systems;
    struct list_head super_blocks;
    struct mnt_namespace *init_mnt_ns;
    struct fs_struct init_fs;
    struct files_struct init_files;
    struct proc_dir_entry proc_root;
    struct kernfs_node sysfs_root;
  `,
  bss: `
    spinlock_t dcache_lock;
    spinlock_t mount_lock;
    struct rw_semaphore namespace_sem;
    spinlock_t sb_lock;
    rwlock_t file_systems_lock;
    struct mutex chrdevs_lock;
    rwlock_t proc_subdir_lock;
    struct rw_semaphore kernfs_rwsem;
    struct mutex kernfs_open_file_mutex;
    struct mutex sysctl_mutex;
    struct char_device_struct *chrdevs[CHRDEV_MAJOR_HASH_SIZE];
    struct super_block *blockdev_superblock;
    unsigned long last_ino;
    int mnt_id_next;
    unsigned int anon_dev_next;
    unsigned int proc_inum_next;
    u64 kernfs_id_next;

    struct file_system_type ramfs_fs_type, rootfs_fs_type, proc_fs_type, sysfs_fs_type, dev_fs_type;
    struct dentry_operations simple_dentry_operations;
    struct inode_operations ramfs_dir_inode_operations, ramfs_file_inode_operations;
    struct address_space_operations ram_aops;
    struct file_operations ramfs_file_operations, simple_dir_operations, def_chr_fops;
    struct file_operations null_fops, zero_fops, memory_fops, console_fops;
    struct inode_operations proc_dir_inode_operations, proc_file_inode_operations;
    struct file_operations proc_reg_file_ops, proc_dir_operations;
    struct proc_ops proc_single_ops, proc_sys_file_operations;
    struct inode_operations kernfs_dir_iops;
    struct file_operations kernfs_file_fops, kernfs_dir_fops;

    struct proc_dir_entry *proc_sys_root;
    struct kernfs_node *kernel_kobj;
  `,
  backtrace: [
    "ksys_read",
    "ksys_write",
    "vfs_read",
    "vfs_write",
    "vfs_fsync_range",
    "vfs_copy_file_range",
    "proc_reg_read",
    "proc_reg_write",
    "proc_sys_write",
    "kernfs_fop_write",
    "seq_read",
    "do_sys_openat2",
    "path_openat",
    "vfs_open",
    "unpack_to_rootfs",
    "populate_rootfs",
    "kernel_execve",
    "begin_new_exec",
  ],
});
