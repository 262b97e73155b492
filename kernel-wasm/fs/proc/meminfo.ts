/** /proc/meminfo (fs/proc/meminfo.c): the page allocator's and the statistics' numbers, in kB. */
import {
  CONFIG_CRASH_DUMP,
  HPAGE_SIZE,
  LRU_ACTIVE_ANON,
  LRU_ACTIVE_FILE,
  LRU_INACTIVE_ANON,
  LRU_INACTIVE_FILE,
  LRU_UNEVICTABLE,
  NR_ANON_MAPPED,
  NR_FILE_DIRTY,
  NR_FILE_MAPPED,
  NR_FILE_PAGES,
  NR_KERNEL_MISC_RECLAIMABLE,
  NR_KERNEL_STACK_KB,
  NR_MLOCK,
  NR_PAGETABLE,
  NR_SHMEM,
  NR_SLAB_RECLAIMABLE_B,
  NR_SLAB_UNRECLAIMABLE_B,
  NR_SWAPCACHE,
  NR_WRITEBACK,
  PAGE_SHIFT,
  VMALLOC_END,
  VMALLOC_START,
} from "../../include/generated/constants";
import { seq_file } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { nr_blockdev_pages } from "../buffer/bdev";
import { lru_pages, si_mem_available } from "../../mm/meminfo";
import { vm_commit_limit, vm_memory_committed } from "../../mm/overcommit";
import { vmalloc_nr_pages } from "../../mm/vmalloc";
import {
  global_node_page_state_pages,
  global_zone_page_state,
  nr_free_pages,
  totalram_pages,
} from "../../mm/vmstat";
import { seq_printf } from "../seq_file";

/** One line; `label` with its colon. */
function show_val_kb(m: seq_file, label: usize, pages: u64): void {
  seq_printf(m, c`%-16s%8lu kB\n`, label, pages << (PAGE_SHIFT - 10));
}

@inline function node_pages(item: i32): u64 {
  return global_node_page_state_pages(item);
}

export function meminfo_proc_show(m: seq_file, v: usize): i32 {
  const reclaimable = node_pages(NR_SLAB_RECLAIMABLE_B);
  const unreclaimable = node_pages(NR_SLAB_UNRECLAIMABLE_B);
  const anon = lru_pages(LRU_ACTIVE_ANON) + lru_pages(LRU_INACTIVE_ANON);
  const file = lru_pages(LRU_ACTIVE_FILE) + lru_pages(LRU_INACTIVE_FILE);
  show_val_kb(m, c`MemTotal:`, totalram_pages());
  show_val_kb(m, c`MemFree:`, nr_free_pages());
  show_val_kb(m, c`MemAvailable:`, si_mem_available());
  const buffers = CONFIG_CRASH_DUMP ? 0 : nr_blockdev_pages();
  show_val_kb(m, c`Buffers:`, buffers);
  show_val_kb(m, c`Cached:`, node_pages(NR_FILE_PAGES) - node_pages(NR_SWAPCACHE) - buffers);
  show_val_kb(m, c`SwapCached:`, node_pages(NR_SWAPCACHE));
  show_val_kb(m, c`Active:`, lru_pages(LRU_ACTIVE_ANON) + lru_pages(LRU_ACTIVE_FILE));
  show_val_kb(m, c`Inactive:`, anon + file - lru_pages(LRU_ACTIVE_ANON) - lru_pages(LRU_ACTIVE_FILE));
  show_val_kb(m, c`Active(anon):`, lru_pages(LRU_ACTIVE_ANON));
  show_val_kb(m, c`Inactive(anon):`, lru_pages(LRU_INACTIVE_ANON));
  show_val_kb(m, c`Active(file):`, lru_pages(LRU_ACTIVE_FILE));
  show_val_kb(m, c`Inactive(file):`, lru_pages(LRU_INACTIVE_FILE));
  show_val_kb(m, c`Unevictable:`, lru_pages(LRU_UNEVICTABLE));
  show_val_kb(m, c`Mlocked:`, global_zone_page_state(NR_MLOCK));
  show_val_kb(m, c`SwapTotal:`, CONFIG_CRASH_DUMP ? 0 : sym.total_swap_pages);
  show_val_kb(m, c`SwapFree:`, CONFIG_CRASH_DUMP ? 0 : max<i64>(sym.nr_swap_pages.counter, 0));
  show_val_kb(m, c`Dirty:`, node_pages(NR_FILE_DIRTY));
  show_val_kb(m, c`Writeback:`, node_pages(NR_WRITEBACK));
  show_val_kb(m, c`AnonPages:`, node_pages(NR_ANON_MAPPED));
  show_val_kb(m, c`Mapped:`, node_pages(NR_FILE_MAPPED));
  show_val_kb(m, c`Shmem:`, node_pages(NR_SHMEM));
  show_val_kb(m, c`KReclaimable:`, reclaimable + node_pages(NR_KERNEL_MISC_RECLAIMABLE));
  show_val_kb(m, c`Slab:`, reclaimable + unreclaimable);
  show_val_kb(m, c`SReclaimable:`, reclaimable);
  show_val_kb(m, c`SUnreclaim:`, unreclaimable);
  seq_printf(m, c`KernelStack:    %8lu kB\n`, node_pages(NR_KERNEL_STACK_KB));
  show_val_kb(m, c`PageTables:`, node_pages(NR_PAGETABLE));
  if (!CONFIG_CRASH_DUMP) {
    show_val_kb(m, c`CommitLimit:`, vm_commit_limit());
    show_val_kb(m, c`Committed_AS:`, vm_memory_committed());
  }
  seq_printf(m, c`VmallocTotal:   %8lu kB\n`, (VMALLOC_END - VMALLOC_START) >> 10);
  show_val_kb(m, c`VmallocUsed:`, CONFIG_CRASH_DUMP ? 0 : vmalloc_nr_pages());
  show_val_kb(m, c`Percpu:`, (<u64>sym.pcpu_unit_size >> PAGE_SHIFT) * sym.nr_cpu_ids);
  if (!CONFIG_CRASH_DUMP) {
    show_val_kb(m, c`HardwareCorrupted:`, sym.num_poisoned_pages.counter);
    hugetlb_report_meminfo(m);
  }
  return 0;
}

/** The pool in huge pages, not kB. */
function hugetlb_report_meminfo(m: seq_file): void {
  const h = sym.hstates[0];
  seq_printf(
    m,
    c`HugePages_Total:   %5lu\nHugePages_Free:    %5lu\nHugePages_Rsvd:    %5lu\nHugePages_Surp:    %5lu\n`,
    h.nr_huge_pages, h.free_huge_pages, h.resv_huge_pages, h.surplus_huge_pages,
  );
  seq_printf(m, c`Hugepagesize:   %8lu kB\n`, HPAGE_SIZE >> 10);
  seq_printf(m, c`Hugetlb:        %8lu kB\n`, h.nr_huge_pages * (HPAGE_SIZE >> 10));
}
