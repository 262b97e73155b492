/**
 * The page walk: 4-level page tables (Intel SDM vol. 3, 4.5), as the hardware does it for accesses from
 * user mode.
 *
 *     47      39 38      30 29      21 20      12 11          0
 *     [  PML4  ] [  PDPT  ] [   PD   ] [   PT   ] [  offset   ]
 *
 * Bits of an entry: 0 present, 1 write, 2 user, 5 accessed, 7 large page, 63 no execution. A program's
 * access sets a leaf's bit 5. Bit 6, dirty, is not set: the kernel lets user mode write to no page that is
 * not marked so.
 */

import { PAGE_SIZE, type PhysicalMemory } from "./memory.ts";

const PRESENT = 1;
const WRITE = 2;
const USER = 4;
const ACCESSED = 0x20;
const LARGE = 0x80;
/** In the upper half. */
const NX = 0x80000000;
/** First address that user mode cannot have. */
const USER_END = 2 ** 47;

export interface Access {
  write: boolean;
  /** An instruction is fetched. */
  execute?: boolean;
  /** It is a program's own, which the leaf's bit 5 tells of. */
  accessed?: boolean;
}

/**
 * Physical address of the user address `va` under the tables at `cr3`; undefined when user mode may not
 * access it so, or when a table or the page lies outside memory.
 */
export function walkUser(
  memory: PhysicalMemory,
  cr3: number,
  va: number,
  { write, execute = false, accessed = false }: Access,
): number | undefined {
  if (va < 0 || va >= USER_END) return undefined;
  const wanted = PRESENT | USER | (write ? WRITE : 0);
  let table = cr3 - (cr3 % PAGE_SIZE);
  for (let level = 3; level >= 0; level--) {
    const span = PAGE_SIZE * 512 ** level;
    const at = table + (Math.floor(va / span) % 512) * 8;
    if (!memory.has(at, 8)) return undefined;
    const lo = memory.u32(at);
    if ((lo & wanted) !== wanted) return undefined;
    const hi = memory.u32(at + 4);
    if (execute && (hi & NX) !== 0) return undefined;
    const frame = (hi & 0xfffff) * 2 ** 32 + ((lo & ~0xfff) >>> 0);
    const leaf = level === 0 || (level < 3 && (lo & LARGE) !== 0);
    if (!leaf) {
      table = frame;
      continue;
    }
    // A large page's low address bits are attributes (PAT) or must be zero.
    const pa = frame - (frame % span) + (va % span);
    if (!memory.has(pa, 1)) return undefined;
    if (accessed && (lo & ACCESSED) === 0) memory.setU32(at, lo | ACCESSED);
    return pa;
  }
  return undefined;
}
