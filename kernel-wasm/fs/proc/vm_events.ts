/** The events of memory management in /proc/vmstat (vmstat_text of mm/vmstat.c). */
import { NR_VM_EVENT_ITEMS, PGPGIN, PGPGOUT } from "../../include/generated/constants";
import { seq_file } from "../../include/generated/structs";
import { vm_event_count } from "../../mm/vm_event";
import { seq_printf } from "../seq_file";

/** enum vm_event_item, in its order. */
function vm_event_name(item: i32): usize {
  switch (item) {
    case 0: return c`pgpgin`;
    case 1: return c`pgpgout`;
    case 2: return c`pswpin`;
    case 3: return c`pswpout`;
    case 4: return c`pgalloc_dma`;
    case 5: return c`pgalloc_dma32`;
    case 6: return c`pgalloc_normal`;
    case 7: return c`pgalloc_movable`;
    case 8: return c`allocstall_dma`;
    case 9: return c`allocstall_dma32`;
    case 10: return c`allocstall_normal`;
    case 11: return c`allocstall_movable`;
    case 12: return c`pgskip_dma`;
    case 13: return c`pgskip_dma32`;
    case 14: return c`pgskip_normal`;
    case 15: return c`pgskip_movable`;
    case 16: return c`pgfree`;
    case 17: return c`pgactivate`;
    case 18: return c`pgdeactivate`;
    case 19: return c`pglazyfree`;
    case 20: return c`pgfault`;
    case 21: return c`pgmajfault`;
    case 22: return c`pglazyfreed`;
    case 23: return c`pgrefill`;
    case 24: return c`pgreuse`;
    case 25: return c`pgsteal_kswapd`;
    case 26: return c`pgsteal_direct`;
    case 27: return c`pgdemote_kswapd`;
    case 28: return c`pgdemote_direct`;
    case 29: return c`pgscan_kswapd`;
    case 30: return c`pgscan_direct`;
    case 31: return c`pgscan_direct_throttle`;
    case 32: return c`pgscan_anon`;
    case 33: return c`pgscan_file`;
    case 34: return c`pgsteal_anon`;
    case 35: return c`pgsteal_file`;
    case 36: return c`zone_reclaim_failed`;
    case 37: return c`pginodesteal`;
    case 38: return c`slabs_scanned`;
    case 39: return c`kswapd_inodesteal`;
    case 40: return c`kswapd_low_wmark_hit_quickly`;
    case 41: return c`kswapd_high_wmark_hit_quickly`;
    case 42: return c`pageoutrun`;
    case 43: return c`pgrotated`;
    case 44: return c`drop_pagecache`;
    case 45: return c`drop_slab`;
    case 46: return c`oom_kill`;
    case 47: return c`htlb_buddy_alloc_success`;
    case 48: return c`htlb_buddy_alloc_fail`;
    case 49: return c`unevictable_pgs_culled`;
    case 50: return c`unevictable_pgs_scanned`;
    case 51: return c`unevictable_pgs_rescued`;
    case 52: return c`unevictable_pgs_mlocked`;
    case 53: return c`unevictable_pgs_munlocked`;
    case 54: return c`unevictable_pgs_cleared`;
    case 55: return c`unevictable_pgs_stranded`;
    case 56: return c`swap_ra`;
    default: return c`swap_ra_hit`;
  }
}

/** What goes to and from disks is counted in sectors and shown in KiB. */
export function show_vm_events(m: seq_file): void {
  for (let item: i32 = 0; item < NR_VM_EVENT_ITEMS; item++) {
    const count = vm_event_count(item);
    seq_printf(m, c`%s %lu\n`, vm_event_name(item), item == PGPGIN || item == PGPGOUT ? count / 2 : count);
  }
}
