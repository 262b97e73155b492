/**
 * Swap entries (include/linux/swapops.h): the area and the place there, as page.private and the swap cache
 * have it, and its form in a page table (arch/x86/include/asm/pgtable_64.h). 0 is no entry: place 0 of an
 * area is its header.
 */
import {
  SWP_OFFSET_SHIFT,
  SWP_TYPE_BITS,
  SWP_TYPE_SHIFT,
  _PAGE_PRESENT,
} from "../include/generated/constants";

@inline export function swp_entry(type: u32, offset: u32): u64 {
  return (<u64>type << SWP_TYPE_SHIFT) | <u64>offset;
}

@inline export function swp_type(entry: u64): u32 {
  return <u32>(entry >> SWP_TYPE_SHIFT);
}

@inline export function swp_offset(entry: u64): u32 {
  return <u32>(entry & ((<u64>1 << SWP_TYPE_SHIFT) - 1));
}

/** An entry that is neither empty nor present. */
@inline export function is_swap_pte(pte: u64): bool {
  return pte != 0 && (pte & _PAGE_PRESENT) == 0;
}

/** The offset is inverted, so that the entry points above all memory (L1TF). */
@inline export function swp_entry_to_pte(entry: u64): u64 {
  const offset = (~<u64>swp_offset(entry) << SWP_OFFSET_SHIFT) >> SWP_TYPE_BITS;
  return offset | (<u64>swp_type(entry) << (64 - SWP_TYPE_BITS));
}

@inline export function pte_to_swp_entry(pte: u64): u64 {
  const offset = <u32>((~pte << SWP_TYPE_BITS) >> SWP_OFFSET_SHIFT);
  return swp_entry(<u32>(pte >> (64 - SWP_TYPE_BITS)), offset);
}
