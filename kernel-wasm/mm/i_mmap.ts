/**
 * A file's mappings (mm/interval_tree.c, mm/memory.c): address_space.i_mmap has them by their first page, so
 * that pages which leave the file leave the page tables too. i_mmap_rwsem guards the tree and the extent of
 * what is in it.
 *
 * Order of locks: mmap_lock, the page's, i_mmap_rwsem, page_table_lock.
 */
import { PAGE_SHIFT, VM_SHARED, _PAGE_DIRTY, _PAGE_RW } from "../include/generated/constants";
import { address_space, page, rb_node, vm_area_struct } from "../include/generated/structs";
import { pte_page, user_pte } from "../arch/mm/pgtable";
import { down_read, down_write, up_read, up_write } from "../kernel/locking/rwsem";
import { spin_lock, spin_unlock } from "../kernel/locking/spinlock";
import { atomic_dec, atomic_inc } from "../lib/atomic";
import { rb_erase_cached, rb_first, rb_insert_color_cached, rb_link_node, rb_next } from "../lib/rbtree";
import { zap_page_range } from "./memory";

/** Null: an anonymous mapping, whatever its file. */
function mapping_of(vma: vm_area_struct): address_space {
  const mapped = vma.vm_file_va != 0 && vma.vm_ops_va != 0;
  return mapped ? vma.vm_file.f_mapping : changetype<address_space>(0);
}

export function i_mmap_lock_write(vma: vm_area_struct): void {
  const mapping = mapping_of(vma);
  if (!isnull(mapping)) down_write(mapping.i_mmap_rwsem);
}

export function i_mmap_unlock_write(vma: vm_area_struct): void {
  const mapping = mapping_of(vma);
  if (!isnull(mapping)) up_write(mapping.i_mmap_rwsem);
}

export function vma_link_file(vma: vm_area_struct): void {
  const mapping = mapping_of(vma);
  if (isnull(mapping)) return;
  down_write(mapping.i_mmap_rwsem);
  if (vma.vm_flags & VM_SHARED) atomic_inc(mapping.i_mmap_writable);
  let link = changetype<usize>(mapping.i_mmap.rb_root);
  let parent = changetype<rb_node>(0);
  let leftmost = true;
  while (load<u64>(link) != 0) {
    parent = changetype<rb_node>(pa(load<u64>(link)));
    if (vma.vm_pgoff < vm_area_struct.from_shared_rb(parent).vm_pgoff) {
      link = rb_node.addr_of_rb_left(parent);
    } else {
      link = rb_node.addr_of_rb_right(parent);
      leftmost = false;
    }
  }
  rb_link_node(vma.shared_rb, parent, link);
  rb_insert_color_cached(vma.shared_rb, mapping.i_mmap, leftmost);
  up_write(mapping.i_mmap_rwsem);
}

export function vma_unlink_file(vma: vm_area_struct): void {
  const mapping = mapping_of(vma);
  if (isnull(mapping)) return;
  down_write(mapping.i_mmap_rwsem);
  if (vma.vm_flags & VM_SHARED) atomic_dec(mapping.i_mmap_writable);
  rb_erase_cached(vma.shared_rb, mapping.i_mmap);
  up_write(mapping.i_mmap_rwsem);
}

/** From now on a write to the page through a shared mapping is a fault. With the page's lock. */
export function page_mkclean(p: page): void {
  const mapping = p.mapping;
  down_read(mapping.i_mmap_rwsem);
  for (let node = rb_first(mapping.i_mmap.rb_root); !isnull(node); node = rb_next(node)) {
    const vma = vm_area_struct.from_shared_rb(node);
    const into = p.index - vma.vm_pgoff;
    if (p.index < vma.vm_pgoff || into >= (vma.vm_end - vma.vm_start) >> PAGE_SHIFT) continue;
    const mm = vma.vm_mm;
    spin_lock(mm.page_table_lock);
    const pte = user_pte(changetype<usize>(mm.pgd), <usize>(vma.vm_start + (into << PAGE_SHIFT)));
    const maps = pte && changetype<usize>(pte_page(load<u64>(pte))) == changetype<usize>(p);
    if (maps) store<u64>(pte, load<u64>(pte) & ~<u64>(_PAGE_RW | _PAGE_DIRTY));
    spin_unlock(mm.page_table_lock);
  }
  up_read(mapping.i_mmap_rwsem);
}

/** Takes pages [first, last] of a file out of every mapping, and private copies of them. */
export function unmap_mapping_pages(mapping: address_space, first: u64, last: u64): void {
  down_read(mapping.i_mmap_rwsem);
  for (let node = rb_first(mapping.i_mmap.rb_root); !isnull(node); node = rb_next(node)) {
    const vma = vm_area_struct.from_shared_rb(node);
    const pages = (vma.vm_end - vma.vm_start) >> PAGE_SHIFT;
    if (vma.vm_pgoff > last || vma.vm_pgoff + pages <= first) continue;
    const from = max(first, vma.vm_pgoff) - vma.vm_pgoff;
    const to = min(last - vma.vm_pgoff, pages - 1) + 1;
    zap_page_range(vma, vma.vm_start + (from << PAGE_SHIFT), vma.vm_start + (to << PAGE_SHIFT));
  }
  up_read(mapping.i_mmap_rwsem);
}
