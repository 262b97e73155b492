/**
 * From a page to its mappings (mm/rmap.c). An anonymous page names the anon_vma of the mapping that it was
 * made for (page.mapping). A fork shares pages, so the child's mapping hangs on the parent's anon_vmas by
 * anon_vma_chains, and an anon_vma lives as long as one mapping hangs on it. _mapcount is the number of page
 * table entries less one.
 * The capture kernel, which never forks and which nobody dumps, only counts.
 */
import {
  CONFIG_CRASH_DUMP,
  ENOMEM,
  GFP_KERNEL,
  MM_ANONPAGES,
  MM_FILEPAGES,
  MM_SHMEMPAGES,
  NR_ANON_MAPPED,
  NR_FILE_MAPPED,
  PAGE_MAPPING_ANON,
  PAGE_SHIFT,
  PG_swapbacked,
} from "../include/generated/constants";
import { anon_vma, anon_vma_chain, page, rb_node, vm_area_struct } from "../include/generated/structs";
import { down_write, init_rwsem, up_write } from "../kernel/locking/rwsem";
import { spin_lock, spin_unlock } from "../kernel/locking/spinlock";
import {
  atomic_dec_and_test,
  atomic_dec_return,
  atomic_inc,
  atomic_inc_return,
  atomic_long_dec,
  atomic_long_inc,
} from "../lib/atomic";
import { list_add, list_del, list_is_head } from "../lib/list";
import { rb_erase_cached, rb_insert_color_cached, rb_link_node } from "../lib/rbtree";
import { page_flag, set_page_flag } from "./page";
import { kfree, kzalloc } from "./slub";
import { lru_cache_add } from "./swap";
import { mod_node_page_state } from "./vmstat";

@inline export function PageAnon(p: page): bool {
  return (p.mapping_va & PAGE_MAPPING_ANON) != 0;
}

/** Entries in page tables that map the page. */
@inline export function page_mapcount(p: page): i32 {
  return p._mapcount.counter + 1;
}

function anon_vma_alloc(): anon_vma {
  const av = changetype<anon_vma>(kzalloc(anon_vma.SIZE, GFP_KERNEL));
  if (isnull(av)) return av;
  av.refcount.counter = 1;
  // The mapping that it is made for.
  av.degree = 1;
  av.parent = av;
  av.root = av;
  init_rwsem(av.rwsem);
  return av;
}

function put_anon_vma(av: anon_vma): void {
  if (!atomic_dec_and_test(av.refcount)) return;
  const root = av.root;
  if (changetype<usize>(root) != changetype<usize>(av)) put_anon_vma(root);
  kfree(changetype<usize>(av));
}

@inline function anon_vma_chain_alloc(): anon_vma_chain {
  return changetype<anon_vma_chain>(kzalloc(anon_vma_chain.SIZE, GFP_KERNEL));
}

/** With the root's lock. */
function anon_vma_chain_link(vma: vm_area_struct, avc: anon_vma_chain, av: anon_vma): void {
  avc.vma = vma;
  avc.anon_vma = av;
  list_add(avc.same_vma, vma.anon_vma_chain);
  let link = changetype<usize>(av.rb_root.rb_root);
  let parent = changetype<rb_node>(0);
  let leftmost = true;
  while (load<u64>(link) != 0) {
    parent = changetype<rb_node>(pa(load<u64>(link)));
    if (vma.vm_pgoff < anon_vma_chain.from_rb(parent).vma.vm_pgoff) {
      link = rb_node.addr_of_rb_left(parent);
    } else {
      link = rb_node.addr_of_rb_right(parent);
      leftmost = false;
    }
  }
  rb_link_node(avc.rb, parent, link);
  rb_insert_color_cached(avc.rb, av.rb_root, leftmost);
}

/** Gives a mapping an anon_vma when it has none. */
export function anon_vma_prepare(vma: vm_area_struct): i32 {
  if (CONFIG_CRASH_DUMP || vma.anon_vma_va != 0) return 0;
  const avc = anon_vma_chain_alloc();
  const av = anon_vma_alloc();
  if (isnull(avc) || isnull(av)) {
    kfree(changetype<usize>(avc));
    kfree(changetype<usize>(av));
    return -ENOMEM;
  }
  down_write(av.root.rwsem);
  // Another fault of the same address space may have been first.
  spin_lock(vma.vm_mm.page_table_lock);
  const first = vma.anon_vma_va == 0;
  if (first) {
    vma.anon_vma = av;
    anon_vma_chain_link(vma, avc, av);
    // A root is its own parent.
    av.degree += 1;
  }
  spin_unlock(vma.vm_mm.page_table_lock);
  up_write(av.root.rwsem);
  if (first) return 0;
  put_anon_vma(av);
  kfree(changetype<usize>(avc));
  return 0;
}

/** Hangs `dst` on every anon_vma that `src` hangs on; a half of a split shares its own one. */
export function anon_vma_clone(dst: vm_area_struct, src: vm_area_struct): i32 {
  const head = src.anon_vma_chain;
  // From the oldest, so that the order is the same.
  for (let at = head.prev; !list_is_head(at, head); at = at.prev) {
    const av = anon_vma_chain.from_same_vma(at).anon_vma;
    const avc = anon_vma_chain_alloc();
    if (isnull(avc)) return -ENOMEM;
    down_write(av.root.rwsem);
    anon_vma_chain_link(dst, avc, av);
    up_write(av.root.rwsem);
  }
  if (dst.anon_vma_va == 0) return 0;
  down_write(dst.anon_vma.root.rwsem);
  dst.anon_vma.degree += 1;
  up_write(dst.anon_vma.root.rwsem);
  return 0;
}

/** A child's mapping shares the parent's anon_vmas, and has its own for its new pages. */
export function anon_vma_fork(vma: vm_area_struct, parent: vm_area_struct): i32 {
  if (parent.anon_vma_va == 0) return 0;
  const err = anon_vma_clone(vma, parent);
  if (err) return err;
  const avc = anon_vma_chain_alloc();
  const av = anon_vma_alloc();
  if (isnull(avc) || isnull(av)) {
    kfree(changetype<usize>(avc));
    kfree(changetype<usize>(av));
    return -ENOMEM;
  }
  av.root = parent.anon_vma.root;
  av.parent = parent.anon_vma;
  atomic_inc(av.root.refcount);
  vma.anon_vma = av;
  down_write(av.root.rwsem);
  anon_vma_chain_link(vma, avc, av);
  av.parent.degree += 1;
  up_write(av.root.rwsem);
  return 0;
}

/** A mapping goes, its pages are gone: so do the anon_vmas that nobody else hangs on. */
export function unlink_anon_vmas(vma: vm_area_struct): void {
  if (CONFIG_CRASH_DUMP) return;
  const head = vma.anon_vma_chain;
  for (let at = head.next; !list_is_head(at, head); ) {
    const avc = anon_vma_chain.from_same_vma(at);
    at = at.next;
    const av = avc.anon_vma;
    const root = av.root;
    down_write(root.rwsem);
    rb_erase_cached(avc.rb, av.rb_root);
    const empty = av.rb_root.rb_root.rb_node_va == 0;
    if (empty) av.parent.degree -= 1;
    if (changetype<usize>(av) == changetype<usize>(vma.anon_vma)) av.degree -= 1;
    up_write(root.rwsem);
    list_del(avc.same_vma);
    kfree(changetype<usize>(avc));
    if (empty) put_anon_vma(av);
  }
  vma.anon_vma_va = 0;
}

function page_set_anon_rmap(p: page, vma: vm_area_struct, addr: usize): void {
  p.mapping_va = va(changetype<usize>(vma.anon_vma)) | PAGE_MAPPING_ANON;
  p.index = vma.vm_pgoff + ((<u64>addr - vma.vm_start) >> PAGE_SHIFT);
}

/** A new page of one mapping enters the page tables. */
export function page_add_new_anon_rmap(p: page, vma: vm_area_struct, addr: usize): void {
  set_page_flag(p, PG_swapbacked);
  page_set_anon_rmap(p, vma, addr);
  p._mapcount.counter = 0;
  lru_cache_add(p);
  atomic_long_inc(vma.vm_mm.rss_stat.count[MM_ANONPAGES]);
  mod_node_page_state(NR_ANON_MAPPED, 1);
}

/** A page that only one mapping is left of becomes that mapping's own. */
export function page_move_anon_rmap(p: page, vma: vm_area_struct): void {
  p.mapping_va = va(changetype<usize>(vma.anon_vma)) | PAGE_MAPPING_ANON;
}

/** What a page counts as in the address spaces that it is mapped in. */
function mm_counter(p: page): i32 {
  if (PageAnon(p)) return MM_ANONPAGES;
  return page_flag(p, PG_swapbacked) ? MM_SHMEMPAGES : MM_FILEPAGES;
}

export function page_add_file_rmap(p: page, vma: vm_area_struct): void {
  if (atomic_inc_return(p._mapcount) == 0) mod_node_page_state(NR_FILE_MAPPED, 1);
  atomic_long_inc(vma.vm_mm.rss_stat.count[mm_counter(p)]);
}

/** A page that is mapped already is mapped by a child too. */
export function page_dup_rmap(p: page, vma: vm_area_struct): void {
  atomic_inc(p._mapcount);
  atomic_long_inc(vma.vm_mm.rss_stat.count[mm_counter(p)]);
}

/** A page of the swap cache enters the page tables again. */
export function page_add_anon_rmap(p: page, vma: vm_area_struct, addr: usize): void {
  if (atomic_inc_return(p._mapcount) == 0) mod_node_page_state(NR_ANON_MAPPED, 1);
  atomic_long_inc(vma.vm_mm.rss_stat.count[MM_ANONPAGES]);
  if (PageAnon(p)) return;
  // Whose it was is not known: the root reaches all that may share it.
  p.mapping_va = va(changetype<usize>(vma.anon_vma.root)) | PAGE_MAPPING_ANON;
  p.index = vma.vm_pgoff + ((<u64>addr - vma.vm_start) >> PAGE_SHIFT);
}

/** An entry that maps the page is gone. The page leaves its LRU list with its last reference. */
export function page_remove_rmap(p: page, vma: vm_area_struct): void {
  const anon = PageAnon(p);
  atomic_long_dec(vma.vm_mm.rss_stat.count[mm_counter(p)]);
  if (atomic_dec_return(p._mapcount) >= 0) return;
  mod_node_page_state(anon ? NR_ANON_MAPPED : NR_FILE_MAPPED, -1);
}
