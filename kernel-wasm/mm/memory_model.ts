/**
 * From page frame numbers and addresses to struct page and back (include/asm-generic/memory_model.h). The
 * memory map is one run of struct pages; its virtual form is vmemmap + 64 * pfn, its physical form
 * vmemmap_phys + 64 * pfn.
 */
import { PAGE_SHIFT } from "../include/generated/constants";
import { page } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";

const PAGE_STRUCT_SHIFT: u32 = 6;

@inline export function pfn_to_page(pfn: usize): page {
  return changetype<page>(<usize>sym.vmemmap_phys + (pfn << PAGE_STRUCT_SHIFT));
}

@inline export function page_to_pfn(p: page): usize {
  return (changetype<usize>(p) - <usize>sym.vmemmap_phys) >> PAGE_STRUCT_SHIFT;
}

/** Physical address of a page's first byte; as a usize it is what kernel code uses as a pointer. */
@inline export function page_to_phys(p: page): usize {
  return page_to_pfn(p) << PAGE_SHIFT;
}

@inline export function phys_to_page(addr: usize): page {
  return pfn_to_page(addr >> PAGE_SHIFT);
}

/** Whether the memory map has a struct page for this frame. */
@inline export function pfn_valid(pfn: usize): bool {
  const p = changetype<usize>(pfn_to_page(pfn));
  return p - <usize>sym.mem_map_start_phys < <usize>(sym.mem_map_end_phys - sym.mem_map_start_phys);
}

@inline export function nth_page(p: page, n: usize): page {
  return changetype<page>(changetype<usize>(p) + (n << PAGE_STRUCT_SHIFT));
}
