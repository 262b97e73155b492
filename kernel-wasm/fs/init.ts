/**
 * File systems at boot (init/do_mounts.c, fs/init.c, init/noinitramfs.c): the tree that user space finds,
 * which a distribution's init would build with mount(2), and the console as its first three descriptors.
 */
import {
  CONFIG_CRASH_DUMP,
  CONFIG_DEBUG_FS,
  MEM_MAJOR,
  O_RDWR,
  S_IFCHR,
  TTYAUX_MAJOR,
} from "../include/generated/constants";
import { IS_ERR } from "../include/err";
import { pr_err } from "../kernel/printk/printk";
import { chrdev_init } from "./char_dev";
import { dcache_init } from "./dcache";
import { files_init, init_dup } from "./file";
import { fput } from "./file_table";
import { MKDEV } from "./inode";
import { libfs_init } from "./libfs";
import { do_mkdir, do_mknod } from "./names";
import { do_mount, init_mount_tree, mnt_init } from "./namespace";
import { filp_open } from "./open";
import { pagecache_init } from "../mm/filemap_fault";
import { init_ramfs_fs } from "./ramfs/inode";
import { sysfs_init } from "./sysfs";

/** Everything up to rootfs; tasks can open files from here on. */
export function vfs_caches_init(): void {
  dcache_init();
  files_init();
  libfs_init();
  chrdev_init();
  mnt_init();
  sysfs_init();
  pagecache_init();
  init_ramfs_fs();
  init_mount_tree();
}

function mount_at(fstype: usize, dir: usize): void {
  const err = do_mount(fstype, dir, fstype, 0, 0);
  if (err) pr_err(c`VFS: cannot mount %s at %s: error %d\n`, fstype, dir, err);
}

/** rootfs_initcall, before the initramfs is unpacked: directories, mounts and the device nodes. */
export function default_rootfs(): i32 {
  do_mkdir(c`/dev`, 0o755);
  do_mkdir(c`/proc`, 0o555);
  do_mkdir(c`/sys`, 0o555);
  do_mkdir(c`/root`, 0o700);
  do_mkdir(c`/var`, 0o755);
  do_mkdir(c`/var/crash`, 0o755);
  mount_at(c`devtmpfs`, c`/dev`);
  mount_at(c`proc`, c`/proc`);
  mount_at(c`sysfs`, c`/sys`);
  if (CONFIG_DEBUG_FS) mount_at(c`debugfs`, c`/sys/kernel/debug`);
  mount_at(c`hostfs`, c`/var/crash`);
  do_mknod(c`/dev/console`, S_IFCHR | 0o600, MKDEV(TTYAUX_MAJOR, 1));
  do_mknod(c`/dev/null`, S_IFCHR | 0o666, MKDEV(MEM_MAJOR, 3));
  do_mknod(c`/dev/zero`, S_IFCHR | 0o666, MKDEV(MEM_MAJOR, 5));
  if (CONFIG_CRASH_DUMP) {
    do_mknod(c`/dev/oldmem`, S_IFCHR | 0o400, MKDEV(MEM_MAJOR, 12));
  } else {
    do_mknod(c`/dev/random`, S_IFCHR | 0o666, MKDEV(MEM_MAJOR, 8));
    do_mknod(c`/dev/urandom`, S_IFCHR | 0o666, MKDEV(MEM_MAJOR, 9));
  }
  return 0;
}

/** Descriptors 0, 1 and 2 of task 1. */
export function console_on_rootfs(): void {
  const filp = filp_open(c`/dev/console`, O_RDWR, 0);
  if (IS_ERR(filp)) {
    pr_err(c`Warning: unable to open an initial console.\n`);
    return;
  }
  init_dup(filp);
  init_dup(filp);
  init_dup(filp);
  fput(filp);
}
