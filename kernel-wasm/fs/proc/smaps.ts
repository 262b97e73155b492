/**
 * /proc/PID/smaps (fs/proc/task_mmu.c): of each mapping how much is there, whose it is, and who has written
 * it. A page that others map too counts in Pss by its share.
 */
import {
  ENOMEM,
  GFP_KERNEL,
  PAGE_SIZE,
  PG_dirty,
  PG_referenced,
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
} from "../../include/generated/constants";
import { mm_struct, seq_file, task_struct, vm_area_struct } from "../../include/generated/structs";
import { pte_page, user_pte_slot } from "../../arch/mm/pgtable";
import { mmput } from "../../kernel/fork";
import { down_read, up_read } from "../../kernel/locking/rwsem";
import { spin_lock, spin_unlock } from "../../kernel/locking/spinlock";
import { get_task_mm } from "../../kernel/sched/task";
import { page_flag } from "../../mm/page";
import { __get_free_page, free_page } from "../../mm/page_alloc";
import { PageAnon, page_mapcount } from "../../mm/rmap";
import { swp_swapcount } from "../../mm/swapfile";
import { is_swap_pte, pte_to_swp_entry } from "../../mm/swapops";
import { seq_printf, seq_putc, seq_puts } from "../seq_file";
import { show_map_vma } from "./task_mmu";

/** Pss counts in so many parts of a byte. */
const PSS_SHIFT: u64 = 12;
const PAGE_KB: u64 = PAGE_SIZE >> 10;
/** Two letters for each bit of vm_flags, from bit 0; blanks: nothing is said of it. */
const FLAG_BITS: usize = 29;

function line(m: seq_file, name: usize, kB: u64): void {
  seq_printf(m, c`%-16s%8lu kB\n`, name, kB);
}

function show_smap_vma_flags(m: seq_file, flags: u64): void {
  const letters = c`rdwrexshmrmwmemsgd  pf    loiosrrrdcdelfacnrht      dd  mm`;
  seq_puts(m, c`VmFlags: `);
  for (let i: usize = 0; i < FLAG_BITS; i++) {
    const at = letters + 2 * i;
    if ((flags & (<u64>1 << <u64>i)) == 0 || load<u8>(at) == 0x20) continue;
    seq_putc(m, load<u8>(at));
    seq_putc(m, load<u8>(at + 1));
    seq_putc(m, 0x20);
  }
  seq_putc(m, 0x0a);
}

/** With mmap_lock. */
function show_smap(m: seq_file, mm: mm_struct, vma: vm_area_struct, page: usize): void {
  let rss: u64 = 0, pss: u64 = 0, pss_dirty: u64 = 0, referenced: u64 = 0, anonymous: u64 = 0;
  let shared_clean: u64 = 0, shared_dirty: u64 = 0, private_clean: u64 = 0, private_dirty: u64 = 0;
  let swap: u64 = 0, swap_pss: u64 = 0;
  for (let at = <usize>vma.vm_start; at < <usize>vma.vm_end; at += PAGE_SIZE) {
    spin_lock(mm.page_table_lock);
    const pte = user_pte_slot(changetype<usize>(mm.pgd), at);
    const entry = pte ? load<u64>(pte) : 0;
    if (is_swap_pte(entry)) {
      swap++;
      swap_pss += (<u64>PAGE_SIZE << PSS_SHIFT) / max(swp_swapcount(pte_to_swp_entry(entry)), 1);
    } else if (entry) {
      const p = pte_page(entry);
      const users = page_mapcount(p);
      const share = (<u64>PAGE_SIZE << PSS_SHIFT) / max(users, 1);
      const dirty = (entry & _PAGE_DIRTY) != 0 || page_flag(p, PG_dirty);
      rss++;
      pss += share;
      if (dirty) pss_dirty += share;
      if (entry & _PAGE_ACCESSED || page_flag(p, PG_referenced)) referenced++;
      if (PageAnon(p)) anonymous++;
      if (users > 1) {
        if (dirty) shared_dirty++;
        else shared_clean++;
      } else if (dirty) private_dirty++;
      else private_clean++;
    }
    spin_unlock(mm.page_table_lock);
  }
  show_map_vma(m, mm, vma, page);
  line(m, c`Size:`, (vma.vm_end - vma.vm_start) >> 10);
  line(m, c`KernelPageSize:`, PAGE_KB);
  line(m, c`MMUPageSize:`, PAGE_KB);
  line(m, c`Rss:`, rss * PAGE_KB);
  line(m, c`Pss:`, pss >> (10 + PSS_SHIFT));
  line(m, c`Pss_Dirty:`, pss_dirty >> (10 + PSS_SHIFT));
  line(m, c`Shared_Clean:`, shared_clean * PAGE_KB);
  line(m, c`Shared_Dirty:`, shared_dirty * PAGE_KB);
  line(m, c`Private_Clean:`, private_clean * PAGE_KB);
  line(m, c`Private_Dirty:`, private_dirty * PAGE_KB);
  line(m, c`Referenced:`, referenced * PAGE_KB);
  line(m, c`Anonymous:`, anonymous * PAGE_KB);
  line(m, c`Swap:`, swap * PAGE_KB);
  line(m, c`SwapPss:`, swap_pss >> (10 + PSS_SHIFT));
  show_smap_vma_flags(m, vma.vm_flags);
}

export function proc_pid_smaps(m: seq_file, task: task_struct): i32 {
  const mm = get_task_mm(task);
  if (isnull(mm)) return 0;
  const page = __get_free_page(GFP_KERNEL);
  if (page) {
    down_read(mm.mmap_lock);
    for (let vma = mm.mmap; !isnull(vma); vma = vma.vm_next) show_smap(m, mm, vma, page);
    up_read(mm.mmap_lock);
    free_page(page);
  }
  mmput(mm);
  return page ? 0 : -ENOMEM;
}
