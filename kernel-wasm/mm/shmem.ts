/**
 * Shared memory without a file (mm/shmem.c): a mapping of a file on an internal mount of tmpfs, which only
 * the page cache holds. Its pages are those of a file that count as MM_SHMEMPAGES.
 */
import {
  AS_UNEVICTABLE,
  CONFIG_CRASH_DUMP,
  ENOMEM,
  O_RDWR,
  S_IFDIR,
  S_IFREG,
  TMPFS_MAGIC,
} from "../include/generated/constants";
import {
  address_space,
  dentry,
  file,
  file_system_type,
  inode,
  super_block,
  vm_area_struct,
} from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { ERR_PTR, IS_ERR, PTR_ERR } from "../include/err";
import { d_alloc, d_instantiate, d_make_root, dput } from "../fs/dcache";
import { alloc_empty_file, fput } from "../fs/file_table";
import { get_next_ino, iput, new_inode } from "../fs/inode";
import { mntget, vfs_kern_mount } from "../fs/namespace";
import { mount_nodev, register_filesystem } from "../fs/super";
import { __set_page_dirty_no_writeback, generic_file_mmap, simple_readpage } from "./filemap_fault";

/** Whether pages of this mapping are shared memory. */
export function is_shmem(mapping: address_space): bool {
  if (CONFIG_CRASH_DUMP) return false;
  return changetype<usize>(mapping.a_ops) == changetype<usize>(sym.shmem_aops);
}

function shmem_get_inode(size: u64): inode {
  const node = new_inode(sym.shm_mnt.mnt_sb);
  if (isnull(node)) return node;
  node.i_ino = get_next_ino();
  node.i_mode = S_IFREG | 0o777;
  node.i_nlink = 0;
  node.i_size = size;
  node.i_data.a_ops = sym.shmem_aops;
  // There is no way to a swap area for pages that an inode holds.
  node.i_data.flags |= 1 << AS_UNEVICTABLE;
  return node;
}

/** An open file of so many bytes that no name leads to; or an ERR_PTR. */
function shmem_kernel_file_setup(name: usize, length: usize, size: u64): file {
  const node = shmem_get_inode(size);
  if (isnull(node)) return ERR_PTR<file>(-ENOMEM);
  const d = d_alloc(changetype<dentry>(0), name, length, node.i_sb);
  if (isnull(d)) {
    iput(node);
    return ERR_PTR<file>(-ENOMEM);
  }
  d_instantiate(d, node);
  const filp = alloc_empty_file(O_RDWR);
  if (IS_ERR(filp)) {
    dput(d);
    return filp;
  }
  filp.f_path.mnt = mntget(sym.shm_mnt);
  filp.f_path.dentry = d;
  filp.f_inode = node;
  filp.f_mapping = node.i_mapping;
  filp.f_op = sym.shmem_file_operations;
  return filp;
}

/** A shared anonymous mapping gets a file: /dev/zero, for what reads its name. */
export function shmem_zero_setup(vma: vm_area_struct): i32 {
  const filp = shmem_kernel_file_setup(c`dev/zero`, 8, vma.vm_end - vma.vm_start);
  if (IS_ERR(filp)) return PTR_ERR(filp);
  if (vma.vm_file_va != 0) fput(vma.vm_file);
  vma.vm_file = filp;
  vma.vm_pgoff = 0;
  return generic_file_mmap(filp, vma);
}

export function shmem_fill_super(sb: super_block, data: usize): i32 {
  sb.s_magic = TMPFS_MAGIC;
  // Nothing looks these files up: a dentry goes with its last user.
  sb.s_d_op = sym.simple_dentry_operations;
  const root = new_inode(sb);
  if (isnull(root)) return -ENOMEM;
  root.i_mode = S_IFDIR | 0o1777;
  root.i_ino = get_next_ino();
  sb.s_root = d_make_root(root);
  return isnull(sb.s_root) ? -ENOMEM : 0;
}

export function shmem_mount(type: file_system_type, flags: i32, dev_name: usize, data: usize): dentry {
  return mount_nodev(type, flags, data, fnptr(shmem_fill_super));
}

/** The internal mount. */
export function shmem_init(): i32 {
  sym.shmem_aops.readpage = fnptr(simple_readpage);
  sym.shmem_aops.set_page_dirty = fnptr(__set_page_dirty_no_writeback);
  sym.shmem_file_operations.mmap = fnptr(generic_file_mmap);
  sym.shmem_fs_type.name = c`tmpfs`;
  sym.shmem_fs_type.mount = fnptr(shmem_mount);
  const err = register_filesystem(sym.shmem_fs_type);
  if (err) return err;
  const m = vfs_kern_mount(sym.shmem_fs_type, 0, c`tmpfs`, 0);
  if (IS_ERR(m)) return PTR_ERR(m);
  sym.shm_mnt = m.mnt;
  return 0;
}
