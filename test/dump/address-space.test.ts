import { describe, expect, it } from "vitest";
import { AddressSpace, VirtualArray } from "../../tools/dump/address-space.ts";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import { ElfCore } from "../../tools/dump/elf.ts";
import { directAddress, imageAddress, mockKernel } from "../support/log.ts";
import { concat, elfCore, MockMemory, MockPageTables, vmcoreinfoNote } from "../support/vmcore.ts";

const VMALLOC = 0xffffc90000000000n;
const GIB = 1n << 30n;

async function spaceOf(bytes: Uint8Array): Promise<AddressSpace> {
  return new AddressSpace(await ElfCore.open(new MemoryBytes("core", bytes)));
}

describe("AddressSpace", () => {
  it("translates image and direct map by arithmetic, and the page tables agree", async () => {
    const space = await spaceOf(mockKernel().build());
    for (const virtual of [imageAddress(0x10123), imageAddress(0xfff00), directAddress(0x54321)]) {
      const physical = Number(virtual & 0xfffffn);
      expect((await space.translate(virtual)).physical).toBe(physical);
      expect((await space.walk(virtual)).physical).toBe(physical);
    }
  });

  it("walks 4 KiB, 2 MiB and 1 GiB leaves", async () => {
    const kernel = mockKernel();
    kernel.tables.map(VMALLOC, 0x54000n);
    kernel.tables.map(VMALLOC + 0x1000n, 0x51000n);
    kernel.tables.map(VMALLOC + GIB, 0n, "pages2m");
    kernel.tables.map(VMALLOC + 2n * GIB, 0n, "pages1g");
    const space = await spaceOf(kernel.build());
    expect(await space.translate(VMALLOC + 0x10n)).toEqual({ physical: 0x54010, contiguous: 0xff0 });
    expect(await space.translate(VMALLOC + GIB + 0x54321n)).toEqual({
      physical: 0x54321,
      contiguous: 0x1abcdf,
    });
    expect((await space.translate(VMALLOC + 2n * GIB + 0x54321n)).physical).toBe(0x54321);
  });

  it("reads over pages that lie apart", async () => {
    const kernel = mockKernel();
    kernel.memory.bytes[0x54fff] = 7;
    kernel.memory.bytes[0x51000] = 8;
    kernel.tables.map(VMALLOC, 0x54000n);
    kernel.tables.map(VMALLOC + 0x1000n, 0x51000n);
    const space = await spaceOf(kernel.build());
    expect([...(await space.read(VMALLOC + 0xfffn, 2))]).toEqual([7, 8]);
  });

  it("says what is not mapped, and where the walk ended", async () => {
    const kernel = mockKernel();
    kernel.tables.map(VMALLOC, 0x54000n);
    const space = await spaceOf(kernel.build());
    await expect(space.read(VMALLOC + 0x1000n, 8)).rejects.toThrow(
      /0xffffc90000001000 is not mapped \(PTE 1 is 0x0\)/,
    );
    await expect(space.read(0n, 8)).rejects.toThrow(/not mapped \(PGD 0/);
    await expect(space.read(0x0001000000000000n, 8)).rejects.toThrow(/no canonical address/);
    await expect(space.read(0xfffffffffffffffcn, 8)).rejects.toThrow(/nothing has 8 bytes/);
  });

  it("ends on page tables that point at themselves", async () => {
    const kernel = mockKernel();
    const self = BigInt(kernel.tables.root) | 0x63n;
    for (let index = 0; index < 512; index++) kernel.memory.u64(kernel.tables.root + index * 8, self);
    const space = await spaceOf(kernel.build());
    expect((await space.walk(VMALLOC)).contiguous).toBe(0x1000);
  });

  it("walks 5-level tables, where the kernel ran with them", async () => {
    const kernel = mockKernel();
    // la57: vmalloc, vmemmap and direct map lie elsewhere, the image where it always does.
    const [vmalloc, vmemmap, direct] = [0xffa0000000000000n, 0xffd4000000000000n, 0xff11000000000000n];
    const tables = new MockPageTables(kernel.memory, 0x30000, 5);
    tables.map(vmalloc, 0x54000n);
    tables.map(vmemmap + GIB, 0n, "pages2m");
    tables.map(direct, 0n, "pages1g");
    tables.map(imageAddress(0), 0n, "pages2m");
    kernel.lines.push("NUMBER(pgtable_l5_enabled)=1");
    const root = imageAddress(0x30000).toString(16);
    const at = kernel.lines.findIndex((line) => line.startsWith("SYMBOL(init_top_pgt)"));
    kernel.lines[at] = `SYMBOL(init_top_pgt)=${root}`;
    const space = await spaceOf(kernel.build());
    expect(await space.translate(vmalloc + 0x10n)).toEqual({ physical: 0x54010, contiguous: 0xff0 });
    expect((await space.translate(vmemmap + GIB + 0x1234n)).physical).toBe(0x1234);
    expect((await space.translate(direct + 0x54321n)).physical).toBe(0x54321);
    expect((await space.walk(imageAddress(0x10000))).physical).toBe(0x10000);
    const walked: string[] = [];
    await space.walk(direct, (level, table) => void walked.push(`${level} ${table.toString(16)}`));
    expect(walked).toEqual(["PGD 30888", "P4D 38000", "PUD 39000"]);
    await expect(space.translate(VMALLOC)).rejects.toThrow(/is not mapped \(P4D 402 is 0x0\)/);
    await expect(space.translate(0x0100000000000000n)).rejects.toThrow(/no canonical address \(57 bits/);
  });

  it("takes phys_base and KASLR's offset into account, and the memory encryption mask out", async () => {
    const memory = new MockMemory(0x40000);
    const tables = new MockPageTables(memory, 0x10000);
    const encrypted = 1n << 47n;
    tables.map(VMALLOC, 0x5000n | encrypted);
    memory.u64(0x5000, 0x1122334455667788n);
    const physBase = 0x34000000n;
    const root = 0xffffffff80000000n + 0x1c000000n;
    const lines = [
      `SYMBOL(swapper_pg_dir)=${root.toString(16)}`,
      `NUMBER(phys_base)=${physBase - 0x1c000000n - 0x34000000n + 0x10000n}`,
      `NUMBER(sme_mask)=${encrypted}`,
      "KERNELOFFSET=1b000000",
    ];
    const bytes = elfCore({
      notes: concat(vmcoreinfoNote(lines)),
      loads: [{ virtual: 0xffff999000000000n, physical: 0n, data: memory.bytes }],
    });
    const space = await spaceOf(bytes);
    expect(space.relocate(0xffffffff81000000n)).toBe(0xffffffff9c000000n);
    expect((await space.translate(root)).physical).toBe(0x10000);
    expect(await space.readU64(VMALLOC)).toBe(0x1122334455667788n);
    expect(await space.readU64(0xffff999000005000n)).toBe(0x1122334455667788n);
  });

  it("finds phys_base in the loads where VMCOREINFO has none", async () => {
    const load = { virtual: 0xffffffff81000000n, physical: 0x2000000n, data: new Uint8Array(16).fill(9) };
    const space = await spaceOf(elfCore({ notes: vmcoreinfoNote(["OSRELEASE=2.6.32"]), loads: [load] }));
    expect(space.physBase).toBe(0x1000000n);
    expect([...(await space.read(0xffffffff81000008n, 2))]).toEqual([9, 9]);
  });
});

describe("VirtualArray", () => {
  it("reads in windows, and by the piece where a window is not whole in the dump", async () => {
    const kernel = mockKernel();
    kernel.memory.bytes[0xffff0] = 5;
    const space = await spaceOf(kernel.build());
    const array = new VirtualArray(space, directAddress(0xf8000), 0x10000);
    expect((await array.read(0x7ff0, 1)).getUint8(0)).toBe(5);
    await expect(array.read(0x7fff, 2)).rejects.toThrow(/not mapped|not in the dump/);
  });
});
