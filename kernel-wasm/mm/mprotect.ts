/** mprotect(2) (mm/mprotect.c). */
import {
  EACCES,
  EINVAL,
  ENOMEM,
  PAGE_SIZE,
  USER_STACK_TOP,
  VM_ACCESS_FLAGS,
  VM_ACCOUNT,
  VM_EXEC,
  VM_NORESERVE,
  VM_SHARED,
  VM_WRITE,
  _PAGE_NX,
  _PAGE_RW,
  _PAGE_USER,
} from "../include/generated/constants";
import { mm_struct, vm_area_struct } from "../include/generated/structs";
import { get_current } from "../arch/kernel/current";
import { user_pte } from "../arch/mm/pgtable";
import { down_write, up_write } from "../kernel/locking/rwsem";
import { spin_lock, spin_unlock } from "../kernel/locking/spinlock";
import { pgd_of, prot_of } from "./memory";
import { find_vma, may_promise, page_align, vm_stat_account } from "./mmap";
import { __split_vma } from "./munmap";

/** VM_MAYREAD and its like lie so far above VM_READ. */
const MAY_SHIFT: u64 = 4;

/**
 * Entries lose the right to write, which a fault gives back where it is due: the page may be shared. Without
 * any right left, they are no user's entries.
 */
function change_protection(vma: vm_area_struct): void {
  const flags = vma.vm_flags;
  const mm = vma.vm_mm;
  for (let at = <usize>vma.vm_start; at < <usize>vma.vm_end; at += PAGE_SIZE) {
    spin_lock(mm.page_table_lock);
    const pte = user_pte(pgd_of(vma), at);
    if (pte) {
      let entry = load<u64>(pte) & ~<u64>(_PAGE_USER | _PAGE_NX);
      if ((flags & VM_WRITE) == 0) entry &= ~<u64>_PAGE_RW;
      if (flags & VM_ACCESS_FLAGS) entry |= _PAGE_USER;
      store<u64>(pte, flags & VM_EXEC ? entry : entry | _PAGE_NX);
    }
    spin_unlock(mm.page_table_lock);
  }
}

/** The part [start, end) of a mapping; where it is not all of it, it becomes a mapping of its own. */
function mprotect_fixup(mm: mm_struct, at: vm_area_struct, start: u64, end: u64, flags: u64): i32 {
  let vma = at;
  // Private pages that may be written from now on are promised.
  if (flags & VM_WRITE && !(vma.vm_flags & (VM_ACCOUNT | VM_WRITE | VM_SHARED | VM_NORESERVE))) {
    if (!may_promise(mm, VM_ACCOUNT, (end - start) / PAGE_SIZE)) return -ENOMEM;
    flags |= VM_ACCOUNT;
  }
  if (start > vma.vm_start) {
    if (__split_vma(mm, vma, start)) return -ENOMEM;
    vma = vma.vm_next;
  }
  if (end < vma.vm_end && __split_vma(mm, vma, end)) return -ENOMEM;
  const pages = <i64>(vma.vm_end - vma.vm_start) / PAGE_SIZE;
  vm_stat_account(mm, vma.vm_flags, -pages);
  vma.vm_flags = flags;
  vma.vm_page_prot = prot_of(flags);
  vm_stat_account(mm, flags, pages);
  change_protection(vma);
  return 0;
}

function protect(mm: mm_struct, start: u64, end: u64, prot: u32): i32 {
  let at = start;
  while (at < end) {
    const vma = find_vma(mm, at);
    if (isnull(vma) || vma.vm_start > at) return -ENOMEM;
    const flags = (vma.vm_flags & ~<u64>VM_ACCESS_FLAGS) | prot;
    if (prot & ~<u32>(flags >> MAY_SHIFT)) return -EACCES;
    const stop = min(end, vma.vm_end);
    const err = flags == vma.vm_flags ? 0 : mprotect_fixup(mm, vma, at, stop, flags);
    if (err) return err;
    at = stop;
  }
  return 0;
}

/** What comes before a hole, or before a part that may not be so, is changed. */
export function do_mprotect(start: u64, size: u64, prot: u32): i32 {
  if (start & (PAGE_SIZE - 1)) return -EINVAL;
  if (!size) return 0;
  const end = start + page_align(size);
  if (end <= start || end > USER_STACK_TOP) return -ENOMEM;
  if (prot & ~<u32>VM_ACCESS_FLAGS) return -EINVAL;
  const mm = get_current().mm;
  down_write(mm.mmap_lock);
  const err = protect(mm, start, end, prot);
  up_write(mm.mmap_lock);
  return err;
}
