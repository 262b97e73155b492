/** show_mem(): where the memory is (lib/show_mem.c, show_free_areas of mm/page_alloc.c). */
import {
  CONFIG_CRASH_DUMP,
  MAX_NR_ZONES,
  MAX_ORDER,
  NR_FILE_PAGES,
  NR_FREE_PAGES,
  NR_SWAPCACHE,
  PAGE_SHIFT,
} from "../include/generated/constants";
import { sym } from "../include/generated/symbols";
import { printk, pr_cont } from "../kernel/printk/printk";
import { global_node_page_state_pages } from "../mm/vmstat";

const PAGE_KB_SHIFT: u64 = PAGE_SHIFT - 10;

export function show_mem(): void {
  printk(c`Mem-Info:\n`);
  const node = sym.node_data[0];
  let present: u64 = 0;
  let managed: u64 = 0;
  for (let i = 0; i < MAX_NR_ZONES; i++) {
    const zone = node.node_zones[i];
    if (!zone.present_pages) continue;
    present += zone.present_pages;
    managed += zone.managed_pages.counter;
    printk(
      c`Node %d %s free:%lukB min:%lukB low:%lukB high:%lukB present:%lukB managed:%lukB\n`,
      node.node_id, zone.name,
      (zone.vm_stat[NR_FREE_PAGES].counter as u64) << PAGE_KB_SHIFT, zone._watermark[0] << PAGE_KB_SHIFT,
      zone._watermark[1] << PAGE_KB_SHIFT, zone._watermark[2] << PAGE_KB_SHIFT,
      zone.present_pages << PAGE_KB_SHIFT,
      (zone.managed_pages.counter as u64) << PAGE_KB_SHIFT,
    );
    printk(c`Node %d %s: `, node.node_id, zone.name);
    let total: u64 = 0;
    for (let order = 0; order < MAX_ORDER; order++) {
      const blocks = zone.free_area[order].nr_free;
      total += blocks << order;
      pr_cont(c`%lu*%lukB `, blocks, (1 << PAGE_KB_SHIFT) << order);
    }
    pr_cont(c`= %lukB\n`, total << PAGE_KB_SHIFT);
  }
  printk(c`%lu total pagecache pages\n`, global_node_page_state_pages(NR_FILE_PAGES));
  printk(c`%lu pages in swap cache\n`, global_node_page_state_pages(NR_SWAPCACHE));
  if (!CONFIG_CRASH_DUMP) {
    printk(c`Free swap  = %ldkB\n`, sym.nr_swap_pages.counter << PAGE_KB_SHIFT);
    printk(c`Total swap = %lukB\n`, sym.total_swap_pages << PAGE_KB_SHIFT);
  }
  printk(c`%lu pages RAM\n`, present);
  printk(c`%d pages HighMem/MovableOnly\n`, 0);
  printk(c`%lu pages reserved\n`, present - managed);
}
