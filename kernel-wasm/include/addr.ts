/**
 * Virtual and physical addresses. Memory holds 64-bit virtual addresses, code computes with 32-bit physical
 * ones:
 *
 *     ffff8880_xxxxxxxx  direct map      pa = x
 *     ffffffff_8xxxxxxx  kernel image    pa = x - 0x80000000 + phys_base, within [_text, _end)
 *     ffffffff_a000xxxx  modules         pa = module_space_phys + x, on pages that a module has
 *     ffffea00_xxxxxxxx  vmemmap         pa = vmemmap_phys + x, within the memory map
 *     ffffc900_xxxxxxxx  vmalloc         what swapper_pg_dir says, up to the page's end
 *     0                  NULL            0
 *
 * Back, an address in [_text, _end) is an image address, one in the memory map a vmemmap address, one in a
 * module a module address, the rest direct map (a vmalloc page too), so a list that starts at a symbol also
 * ends there. Any other address (LIST_POISON, ERR_PTR, a damaged pointer) is a page fault, as on hardware:
 * taking its low half would hit valid low memory.
 */
import {
  CONFIG_CRASH_DUMP,
  CONFIG_MODULES,
  MODULE_SPACE_SIZE,
  PAGE_SHIFT,
  PGDIR_SHIFT,
  PTE_PFN_MASK,
  PTRS_PER_PTE,
  VMALLOC_END,
  VMALLOC_START,
  _PAGE_PRESENT,
} from "./generated/constants";
import { sym, DATA_END } from "./generated/symbols";

@external("hw", "page_fault") declare function hw_page_fault(lo: u32, hi: u32, error_code: u32): void;

const DIRECT_HI: u32 = 0xffff8880;
const IMAGE_HI: u32 = 0xffffffff;
const VMEMMAP_HI: u32 = 0xffffea00;
/** Low half of MODULES_VADDR. */
const MODULES_LO: u32 = 0xa0000000;
/** Low half of the image's link address 0xffffffff80100000. */
const LINK_LO: u32 = 0x80100000;
/** Physical address the image is linked for. */
const LINK_PHYS: usize = 0x100000;
/**
 * In the 8 bytes before each function of the text, one nop (runtime/link/text.ts): this, then its table
 * index.
 */
const TEXT_MAGIC: u32 = 0x00841f0f;
const NOT_IN_TABLE: u32 = 0xffffffff;
/** #PF error code: an instruction fetch. */
const PF_INSTR: u32 = 0x10;

/** What the kernel's page tables map an address of 4 KiB pages to, or 0. */
function vmalloc_to_phys(va: u64): usize {
  let table = sym.addr_of_swapper_pg_dir();
  for (let shift: u32 = PGDIR_SHIFT; shift >= PAGE_SHIFT; shift -= 9) {
    const entry = load<u64>(table + ((<usize>(va >> <u64>shift) & (PTRS_PER_PTE - 1)) << 3));
    if (!(entry & _PAGE_PRESENT)) return 0;
    table = <usize>(entry & PTE_PFN_MASK);
  }
  return table | (<usize>va & ((1 << PAGE_SHIFT) - 1));
}

/** The addresses off the direct map. */
@global function __phys_addr(va: u64): usize {
  const hi = <u32>(va >> 32);
  const lo = <u32>va;
  if (hi == IMAGE_HI) {
    const at = lo - LINK_LO + __phys_base + LINK_PHYS;
    if (at - __phys_base - LINK_PHYS < __base + DATA_END - __phys_base - LINK_PHYS) return at;
    if (CONFIG_MODULES) {
      const inside = lo - MODULES_LO;
      if (inside < MODULE_SPACE_SIZE && (sym.module_space_pages >> <u64>(inside >> 12)) & 1) {
        return <usize>sym.module_space_phys + inside;
      }
    }
  } else if (hi == VMEMMAP_HI) {
    const at = lo + <u32>sym.vmemmap_phys;
    if (at - <u32>sym.mem_map_start_phys < <u32>(sym.mem_map_end_phys - sym.mem_map_start_phys)) return at;
  } else if (va == 0) {
    return 0;
  } else if (!CONFIG_CRASH_DUMP && va >= VMALLOC_START && va < VMALLOC_END) {
    const at = vmalloc_to_phys(va);
    if (at) return at;
  }
  hw_page_fault(lo, hi, 0);
  return unreachable();
}

/** Physical address of a virtual one; faults on what no range maps. */
@global @inline function pa(va: u64): usize {
  return <u32>(va >> 32) == DIRECT_HI ? <usize>va : __phys_addr(va);
}

/** Virtual address of a physical one, NULL of 0. */
function __virt_addr(p: usize): u64 {
  if (p - __phys_base - LINK_PHYS < __base + DATA_END - __phys_base - LINK_PHYS) {
    return (<u64>IMAGE_HI << 32) | <u64>(p - __phys_base - LINK_PHYS + LINK_LO);
  }
  if (p - <u32>sym.mem_map_start_phys < <u32>(sym.mem_map_end_phys - sym.mem_map_start_phys)) {
    return (<u64>VMEMMAP_HI << 32) | <u64>(p - <u32>sym.vmemmap_phys);
  }
  if (CONFIG_MODULES) {
    const inside = p - <usize>sym.module_space_phys;
    if (inside < MODULE_SPACE_SIZE && (sym.module_space_pages >> <u64>(inside >> 12)) & 1) {
      return (<u64>IMAGE_HI << 32) | <u64>(MODULES_LO + inside);
    }
  }
  return p ? (<u64>DIRECT_HI << 32) | <u64>p : 0;
}

@global @inline function va(p: usize): u64 {
  return __virt_addr(p);
}

/** Table index of the function at a text address, or NOT_IN_TABLE when no function pointer can be that. */
@global function text_slot(fn: u64): u32 {
  const lo = <u32>fn;
  if (<u32>(fn >> 32) != IMAGE_HI || (lo & 15) != 0) return NOT_IN_TABLE;
  let at = lo - LINK_LO + __phys_base + LINK_PHYS;
  if (at <= sym__stext() || at >= sym__etext()) {
    if (!CONFIG_MODULES) return NOT_IN_TABLE;
    const inside = lo - MODULES_LO;
    if (inside >= MODULE_SPACE_SIZE || inside < 16) return NOT_IN_TABLE;
    if (((sym.module_space_text >> <u64>(inside >> 12)) & 1) == 0) return NOT_IN_TABLE;
    at = <usize>sym.module_space_phys + inside;
  }
  return load<u32>(at - 8) == TEXT_MAGIC ? load<u32>(at - 4) : NOT_IN_TABLE;
}

/** The same for call_indirect; anything but a function faults as an instruction fetch. */
@global function text_index(fn: u64): u32 {
  const index = text_slot(fn);
  if (index != NOT_IN_TABLE) return index;
  hw_page_fault(<u32>fn, <u32>(fn >> 32), PF_INSTR);
  return unreachable();
}
