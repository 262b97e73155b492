/**
 * /proc/slabinfo (mm/slab_common.c, get_slabinfo of mm/slub.c): the caches and how full they are. As in
 * Linux, the objects that a CPU's own slabs have to spare count as active.
 */
import { kmem_cache, kmem_cache_node, page, seq_file } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { mutex_lock, mutex_unlock } from "../../kernel/locking/mutex";
import { spin_lock_irqsave, spin_unlock_irqrestore } from "../../kernel/locking/spinlock";
import { atomic_long_read } from "../../lib/atomic";
import { list_is_head } from "../../lib/list";
import { get_node, oo_objects, oo_order } from "../../mm/slub";
import { seq_printf, seq_puts } from "../seq_file";

/** Free objects of the slabs that are nobody's. */
function count_partial(n: kmem_cache_node): u64 {
  let free: u64 = 0;
  const flags = spin_lock_irqsave(n.list_lock);
  const head = n.partial;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const p = page.from_slab_list(at);
    free += <u64>p.objects - p.inuse;
  }
  spin_unlock_irqrestore(n.list_lock, flags);
  return free;
}

function cache_show(m: seq_file, s: kmem_cache): void {
  const n = get_node(s);
  const slabs = atomic_long_read(n.nr_slabs);
  const total = atomic_long_read(n.total_objects);
  seq_printf(
    m, c`%-17s %6lu %6lu %6u %4u %4d`, s.name, total - count_partial(n), total, s.size, oo_objects(s.oo.x),
    1 << oo_order(s.oo.x),
  );
  seq_printf(m, c` : tunables %4u %4u %4u : slabdata %6lu %6lu %6lu\n`, 0, 0, 0, slabs, slabs, 0);
}

export function slabinfo_proc_show(m: seq_file, v: usize): i32 {
  seq_puts(m, c`slabinfo - version: 2.1\n`);
  seq_puts(m, c`# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>`);
  seq_puts(m, c` : tunables <limit> <batchcount> <sharedfactor>`);
  seq_puts(m, c` : slabdata <active_slabs> <num_slabs> <sharedavail>\n`);
  mutex_lock(sym.slab_mutex);
  const head = sym.slab_caches;
  for (let at = head.next; !list_is_head(at, head); at = at.next) cache_show(m, kmem_cache.from_list(at));
  mutex_unlock(sym.slab_mutex);
  return 0;
}
