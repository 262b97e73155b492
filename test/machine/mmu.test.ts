import { beforeEach, describe, expect, it } from "vitest";
import { PhysicalMemory } from "../../runtime/machine/memory.ts";
import { walkUser } from "../../runtime/machine/mmu.ts";

const memory = new PhysicalMemory(4 << 20);
const [PML4, PDPT, PD, PT] = [0x1000, 0x2000, 0x3000, 0x4000];
const VA = 2 ** 39 * 3 + 2 ** 30 * 5 + 2 ** 21 * 7 + 4096 * 9;
const read = { write: false };
const write = { write: true };

beforeEach(() => {
  memory.zero(0, 0x10000);
  memory.setU64(PML4 + 3 * 8, PDPT | 7);
  memory.setU64(PDPT + 5 * 8, PD | 7);
  memory.setU64(PD + 7 * 8, PT | 7);
  memory.setU64(PT + 9 * 8, 0x123000 | 7);
});

describe("the page walk", () => {
  it("goes through four levels, attribute bits or not", () => {
    expect(walkUser(memory, PML4, VA + 0x456, read)).toBe(0x123456);
    expect(walkUser(memory, PML4, VA + 0x456, write)).toBe(0x123456);
    memory.setU32(PT + 9 * 8 + 4, 0x80000000);
    expect(walkUser(memory, PML4, VA, read)).toBe(0x123000);
    expect(walkUser(memory, PML4 + 0x18, VA, read)).toBe(0x123000);
  });

  it("stops at each level's missing bits", () => {
    for (const at of [PML4 + 3 * 8, PDPT + 5 * 8, PD + 7 * 8, PT + 9 * 8]) {
      const entry = memory.u32(at);
      memory.setU32(at, entry & ~1);
      expect(walkUser(memory, PML4, VA, read)).toBeUndefined();
      memory.setU32(at, entry & ~4);
      expect(walkUser(memory, PML4, VA, read)).toBeUndefined();
      memory.setU32(at, entry & ~2);
      expect(walkUser(memory, PML4, VA, read)).toBe(0x123000);
      expect(walkUser(memory, PML4, VA, write)).toBeUndefined();
      memory.setU32(at, entry);
    }
  });

  it("knows large pages of 2 MiB and 1 GiB", () => {
    memory.setU64(PD + 7 * 8, 0x200000 | 0x87);
    expect(walkUser(memory, PML4, VA, read)).toBe(0x200000 + 9 * 4096);
    memory.setU64(PDPT + 5 * 8, 0x87);
    expect(walkUser(memory, PML4, VA - 2 ** 21 * 6, read)).toBe(2 ** 21 + 9 * 4096);
  });

  it("has no way to tables or pages outside memory, or to kernel addresses", () => {
    memory.setU64(PT + 9 * 8, 2 ** 40 + 7);
    expect(walkUser(memory, PML4, VA, read)).toBeUndefined();
    memory.setU64(PD + 7 * 8, (8 << 20) | 7);
    expect(walkUser(memory, PML4, VA, read)).toBeUndefined();
    expect(walkUser(memory, 0xfffff000, VA, read)).toBeUndefined();
    expect(walkUser(memory, PML4, 2 ** 47, read)).toBeUndefined();
    expect(walkUser(memory, PML4, -1, read)).toBeUndefined();
  });
});
