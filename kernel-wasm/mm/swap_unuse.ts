/**
 * swapoff's work (try_to_unuse() of mm/swapfile.c): everything that is in a swap area comes back to memory.
 */
import { EINTR, PAGE_SIZE } from "../include/generated/constants";
import { mm_struct, task_struct, vm_area_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { get_current } from "../arch/kernel/current";
import { user_pte_slot } from "../arch/mm/pgtable";
import { mmput } from "../kernel/fork";
import { read_lock, read_unlock } from "../kernel/locking/qrwlock";
import { down_read, up_read } from "../kernel/locking/rwsem";
import { cpu_relax } from "../kernel/locking/spinlock";
import { get_task_mm } from "../kernel/sched/task";
import { signal_pending } from "../kernel/signal";
import { lock_page, unlock_page } from "./filemap";
import { put_page } from "./page_alloc";
import { do_swap_page } from "./swap_fault";
import { lookup_swap_cache } from "./swap_state";
import { try_to_free_swap } from "./swapfile";
import { is_swap_pte, pte_to_swp_entry, swp_entry, swp_type } from "./swapops";

function unuse_vma(vma: vm_area_struct, type: u32): i32 {
  const pgd = changetype<usize>(vma.vm_mm.pgd);
  for (let at = <usize>vma.vm_start; at < <usize>vma.vm_end; at += PAGE_SIZE) {
    const pte = user_pte_slot(pgd, at);
    const value = pte ? load<u64>(pte) : 0;
    if (!is_swap_pte(value) || swp_type(pte_to_swp_entry(value)) != type) continue;
    const err = do_swap_page(vma, at, pte, value, false);
    if (err) return err;
  }
  return 0;
}

function unuse_mm(mm: mm_struct, type: u32): i32 {
  let err = 0;
  down_read(mm.mmap_lock);
  for (let vma = mm.mmap; !isnull(vma) && !err; vma = vma.vm_next) err = unuse_vma(vma, type);
  up_read(mm.mmap_lock);
  return err;
}

/** The address space of the task with the lowest number above `pid`, with a reference; null at the end. */
function next_mm(pid: i32): mm_struct {
  let found = changetype<task_struct>(0);
  read_lock(sym.tasklist_lock);
  const first = sym.init_task;
  let t = task_struct.from_tasks(first.tasks.next);
  while (t != first) {
    if (t.pid > pid && t.mm_va != 0 && (isnull(found) || t.pid < found.pid)) found = t;
    t = task_struct.from_tasks(t.tasks.next);
  }
  const mm = isnull(found) ? changetype<mm_struct>(0) : get_task_mm(found);
  sym.swapoff_pid = isnull(found) ? 0 : found.pid;
  read_unlock(sym.tasklist_lock);
  return mm;
}

function unuse_processes(type: u32): i32 {
  sym.swapoff_pid = 0;
  do {
    const mm = next_mm(sym.swapoff_pid);
    // It may be on its way out: then its entries go by themselves.
    if (isnull(mm)) continue;
    const err = unuse_mm(mm, type);
    mmput(mm);
    if (err) return err;
  } while (sym.swapoff_pid);
  return 0;
}

/** Pages in memory that no page table entry stands for any more. */
function unuse_cache(type: u32): void {
  const max = sym.swap_info[type].max;
  for (let offset: u32 = 1; offset < max; offset++) {
    const p = lookup_swap_cache(swp_entry(type, offset));
    if (isnull(p)) continue;
    lock_page(p);
    try_to_free_swap(p);
    unlock_page(p);
    put_page(p);
  }
}

/** 0 when the area is empty; -ENOMEM when memory is, -EINTR for a signal. With swapon_mutex. */
export function try_to_unuse(type: u32): i32 {
  while (sym.swap_info[type].inuse_pages) {
    const err = unuse_processes(type);
    if (err) return err;
    unuse_cache(type);
    if (signal_pending(get_current())) return -EINTR;
    cpu_relax();
  }
  return 0;
}
