/**
 * mmap(2) (mm/util.c, mm/mmap.c): what may be mapped how, where there is room for it, and the mapping itself.
 * Its pages come with the first access, or here with MAP_POPULATE.
 */
import {
  CONFIG_CRASH_DUMP,
  DEFAULT_MAX_MAP_COUNT,
  EACCES,
  EBADF,
  EEXIST,
  EINVAL,
  ENODEV,
  ENOMEM,
  EOPNOTSUPP,
  EOVERFLOW,
  FMODE_READ,
  FMODE_WRITE,
  LEGACY_MAP_MASK,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_NONBLOCK,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_TYPE,
  OVERCOMMIT_NEVER,
  PAGE_SHIFT,
  PAGE_SIZE,
  RLIMIT_AS,
  RLIMIT_DATA,
  USER_STACK_TOP,
  VM_ACCESS_FLAGS,
  VM_ACCOUNT,
  VM_GROWSDOWN,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_NORESERVE,
  VM_SHARED,
  VM_WRITE,
} from "../include/generated/constants";
import { file, mm_struct, vm_area_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { fget } from "../fs/file";
import { fput, get_file } from "../fs/file_table";
import { down_write, up_write } from "../kernel/locking/rwsem";
import { mm_populate } from "./memory";
import {
  find_vma,
  may_promise,
  page_align,
  remove_vma,
  vm_area_alloc,
  vm_stat_account,
  vma_link,
} from "./mmap";
import { do_munmap } from "./munmap";
import { shmem_zero_setup } from "./shmem";

/** Whether [addr, addr + len) is free. */
function is_free(mm: mm_struct, addr: u64, len: u64): bool {
  const vma = find_vma(mm, addr);
  return isnull(vma) || vma.vm_start >= addr + len;
}

/** The highest place below mmap_base that is free (arch_get_unmapped_area_topdown); 0: none. */
function unmapped_area(mm: mm_struct, len: u64): u64 {
  let top = mm.mmap_base;
  while (top >= len + PAGE_SIZE) {
    const vma = find_vma(mm, top - len);
    if (isnull(vma) || vma.vm_start >= top) return top - len;
    top = vma.vm_start;
  }
  return 0;
}

/** Where the mapping goes, or a negative error. `len` is in whole pages. */
function get_unmapped_area(mm: mm_struct, hint: u64, len: u64, flags: u32): i64 {
  if (len > USER_STACK_TOP) return -ENOMEM;
  if (flags & MAP_FIXED) {
    if (hint > USER_STACK_TOP - len) return -ENOMEM;
    return hint & (PAGE_SIZE - 1) ? -EINVAL : hint;
  }
  const wanted = page_align(hint);
  if (wanted && wanted <= USER_STACK_TOP - len && is_free(mm, wanted, len)) return wanted;
  const addr = unmapped_area(mm, len);
  return addr ? addr : -ENOMEM;
}

/** What a mapping of an open file may be: VM_* taken from `vm_flags`, or a negative error. */
function file_flags(filp: file, flags: u32, prot: u32, vm_flags: u64): i64 {
  const type = flags & MAP_TYPE;
  if (type == MAP_SHARED_VALIDATE && flags & ~<u32>LEGACY_MAP_MASK) return -EOPNOTSUPP;
  if (type == MAP_SHARED || type == MAP_SHARED_VALIDATE) {
    if (prot & VM_WRITE && !(filp.f_mode & FMODE_WRITE)) return -EACCES;
    vm_flags |= VM_SHARED | VM_MAYSHARE;
    if (!(filp.f_mode & FMODE_WRITE)) vm_flags &= ~<u64>(VM_MAYWRITE | VM_SHARED);
  } else if (type != MAP_PRIVATE) return -EINVAL;
  if (!(filp.f_mode & FMODE_READ)) return -EACCES;
  if (filp.f_op_va == 0 || filp.f_op.mmap == 0) return -ENODEV;
  return vm_flags & VM_GROWSDOWN ? -EINVAL : vm_flags;
}

function anonymous_flags(flags: u32, vm_flags: u64): i64 {
  const type = flags & MAP_TYPE;
  if (type == MAP_PRIVATE) return vm_flags;
  if (type != MAP_SHARED || vm_flags & VM_GROWSDOWN) return -EINVAL;
  return vm_flags | (VM_SHARED | VM_MAYSHARE);
}

/** Whether the task's limits allow so many pages more. */
function may_expand_vm(mm: mm_struct, flags: u64, pages: u64): bool {
  const rlim = get_current().signal.rlim;
  if (mm.total_vm + pages > rlim[RLIMIT_AS].rlim_cur >> PAGE_SHIFT) return false;
  const data = (flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN)) == VM_WRITE;
  return !data || mm.data_vm + pages <= rlim[RLIMIT_DATA].rlim_cur >> PAGE_SHIFT;
}

/** What the mapping's file does for it; one without a file that is shared gets a file. */
function call_mmap(vma: vm_area_struct, filp: file): i32 {
  if (!isnull(filp)) return call_indirect<i32>(text_index(filp.f_op.mmap), filp, vma);
  return !CONFIG_CRASH_DUMP && vma.vm_flags & VM_SHARED ? shmem_zero_setup(vma) : 0;
}

/** With mmap_lock; what was mapped there goes. */
function mmap_region(mm: mm_struct, filp: file, addr: u64, len: u64, vm_flags: u64, pgoff: u64): i64 {
  if (!may_expand_vm(mm, vm_flags, len >> PAGE_SHIFT)) return -ENOMEM;
  const cleared = do_munmap(mm, addr, len);
  if (cleared) return cleared;
  const private_writable = (vm_flags & (VM_NORESERVE | VM_SHARED | VM_WRITE)) == VM_WRITE;
  const flags = private_writable ? vm_flags | VM_ACCOUNT : vm_flags;
  if (!may_promise(mm, flags, len >> PAGE_SHIFT)) return -ENOMEM;
  const vma = vm_area_alloc(mm, addr, addr + len, flags, filp);
  if (isnull(vma)) return -ENOMEM;
  if (!isnull(filp)) {
    get_file(filp);
    vma.vm_pgoff = pgoff;
  }
  const err = call_mmap(vma, filp);
  if (err) {
    remove_vma(vma);
    return err;
  }
  vma_link(mm, vma);
  vm_stat_account(mm, vma.vm_flags, len >> PAGE_SHIFT);
  return addr;
}

/** The address, or a negative error. With mmap_lock, for writing. */
function do_mmap(mm: mm_struct, filp: file, hint: u64, size: u64, prot: u32, flags: u32, pgoff: u64): i64 {
  if (!size) return -EINVAL;
  if (flags & MAP_FIXED_NOREPLACE) flags |= MAP_FIXED;
  const len = page_align(size);
  if (pgoff + (len >> PAGE_SHIFT) < pgoff) return -EOVERFLOW;
  if (mm.map_count > DEFAULT_MAX_MAP_COUNT) return -ENOMEM;
  const addr = get_unmapped_area(mm, hint, len, flags);
  if (addr < 0) return addr;
  if (flags & MAP_FIXED_NOREPLACE && !is_free(mm, addr, len)) return -EEXIST;
  let vm_flags: u64 = (prot & VM_ACCESS_FLAGS) | mm.def_flags | (VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC);
  if (flags & MAP_GROWSDOWN) vm_flags |= VM_GROWSDOWN;
  const allowed = isnull(filp) ? anonymous_flags(flags, vm_flags) : file_flags(filp, flags, prot, vm_flags);
  if (allowed < 0) return allowed;
  let promised = (flags & MAP_NORESERVE) == 0;
  if (!CONFIG_CRASH_DUMP && sym.sysctl_overcommit_memory == OVERCOMMIT_NEVER) promised = true;
  vm_flags = promised ? allowed : allowed | VM_NORESERVE;
  return mmap_region(mm, filp, addr, len, vm_flags, pgoff);
}

/** mmap(2), its offset in pages: registers have 32 bits. */
export function ksys_mmap_pgoff(addr: u64, len: u64, prot: u32, flags: u32, fd: u32, pgoff: u64): i64 {
  // There is no hugetlbfs behind the pool of huge pages.
  if (flags & MAP_HUGETLB) return -EINVAL;
  const filp = flags & MAP_ANONYMOUS ? changetype<file>(0) : fget(fd);
  if (isnull(filp) && !(flags & MAP_ANONYMOUS)) return -EBADF;
  const mm = get_current().mm;
  down_write(mm.mmap_lock);
  const at = do_mmap(mm, filp, addr, len, prot, flags, pgoff);
  up_write(mm.mmap_lock);
  if (!isnull(filp)) fput(filp);
  const populate = (flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE || flags & MAP_LOCKED;
  // As Linux: what cannot be populated now is made when it is used, or the access fails.
  if (at >= 0 && populate && prot & VM_ACCESS_FLAGS) mm_populate(mm, at, at + page_align(len));
  return at;
}
