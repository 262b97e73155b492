/**
 * Overcommit (mm/util.c): a mapping that may need pages of its own (VM_ACCOUNT) is a promise of all of them,
 * and vm.overcommit_memory says how many may be promised. There is no reserve for root to be kept from: all
 * tasks are root's.
 */
import {
  ENOMEM,
  HPAGE_SIZE,
  OVERCOMMIT_ALWAYS,
  OVERCOMMIT_GUESS,
  PAGE_SHIFT,
} from "../include/generated/constants";
import {
  atomic64_t,
  mm_struct,
  percpu_counter,
} from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { atomic64_add, atomic64_read } from "../lib/atomic";
import { nr_free_pages, totalram_pages } from "./vmstat";

const KB_SHIFT: u64 = PAGE_SHIFT - 10;

@inline
function committed(): atomic64_t {
  return changetype<atomic64_t>(percpu_counter.addr_of_count(sym.vm_committed_as));
}

/** So many pages more, or fewer, are promised. */
export function vm_acct_memory(pages: i64): void {
  atomic64_add(pages, committed());
}

/** Pages that are promised. */
export function vm_memory_committed(): u64 {
  return <u64>max<i64>(atomic64_read(committed()), 0);
}

/** Pages that may be promised at vm.overcommit_memory 2. */
export function vm_commit_limit(): u64 {
  const swap = <u64>sym.total_swap_pages;
  if (sym.sysctl_overcommit_kbytes) return (sym.sysctl_overcommit_kbytes >> KB_SHIFT) + swap;
  const huge = sym.hstates[0].nr_huge_pages * <u64>(HPAGE_SIZE >> PAGE_SHIFT);
  return (totalram_pages() - huge) * <u64>sym.sysctl_overcommit_ratio / 100 + swap;
}

/** Whether `pages` more may be promised to `mm`: 0 or -ENOMEM. */
export function __vm_enough_memory(mm: mm_struct, pages: u64): i32 {
  if (sym.sysctl_overcommit_memory == OVERCOMMIT_ALWAYS) return 0;
  // A guess: only what could never be is refused.
  if (sym.sysctl_overcommit_memory == OVERCOMMIT_GUESS) {
    return pages > totalram_pages() + <u64>sym.total_swap_pages ? -ENOMEM : 0;
  }
  const reserve = min<u64>(mm.total_vm / 32, sym.sysctl_user_reserve_kbytes >> KB_SHIFT);
  return vm_memory_committed() + pages + reserve < vm_commit_limit() ? 0 : -ENOMEM;
}

/** A thirty-second part of what is free at boot, if that is less (init_user_reserve, init_admin_reserve). */
export function init_reserves(): void {
  const part = (nr_free_pages() << KB_SHIFT) / 32;
  sym.sysctl_user_reserve_kbytes = min<u64>(part, sym.sysctl_user_reserve_kbytes);
  sym.sysctl_admin_reserve_kbytes = min<u64>(part, sym.sysctl_admin_reserve_kbytes);
}
