/**
 * /proc/slabinfo (mm/slab_common.c, get_slabinfo of mm/slub.c): the caches and how full they are.
 * Production only.
 */
import { kmem_cache, page, seq_file } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { list_is_head } from "../../lib/list";
import { get_node, oo_objects, oo_order } from "../../mm/slub";
import { seq_printf, seq_puts } from "../seq_file";

function cache_show(m: seq_file, s: kmem_cache): void {
  const n = get_node(s);
  let free: u64 = 0;
  const head = n.partial;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const p = page.from_slab_list(at);
    free += <u64>p.objects - p.inuse;
  }
  const total = <u64>n.total_objects.counter;
  const slabs = n.nr_slabs.counter;
  seq_printf(
    m, c`%-17s %6lu %6lu %6u %4u %4d`, s.name, total - free, total, s.size, oo_objects(s.oo.x),
    1 << oo_order(s.oo.x),
  );
  seq_printf(m, c` : tunables %4u %4u %4u : slabdata %6lu %6lu %6lu\n`, 0, 0, 0, slabs, slabs, 0);
}

export function slabinfo_proc_show(m: seq_file, v: usize): i32 {
  seq_puts(m, c`slabinfo - version: 2.1\n`);
  seq_puts(m, c`# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>`);
  seq_puts(m, c` : tunables <limit> <batchcount> <sharedfactor>`);
  seq_puts(m, c` : slabdata <active_slabs> <num_slabs> <sharedavail>\n`);
  const head = sym.slab_caches;
  for (let at = head.next; !list_is_head(at, head); at = at.next) cache_show(m, kmem_cache.from_list(at));
  return 0;
}
