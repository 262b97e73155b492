/** vmalloc areas in a dump: stock crash lists them and reads them through the page tables, drgn too. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type BootDump, bootDump } from "../support/boot.ts";
import { describeStock } from "../support/stock.ts";
import { crash, drgn } from "./debuggers.ts";

const PAGE = 4096;

interface Area {
  start: number;
  end: number;
  pages: number;
  caller: string;
}

describeStock(["crash", "drgn"], "vmalloc areas of a crashed kernel", () => {
  let dump: BootDump;
  /** From VMALLOC_START on, by address. */
  let areas: Area[];
  const address = (offset: number): string => (0xffffc90000000000n + BigInt(offset)).toString(16);

  beforeAll(() => {
    // It dies with a page written in front of the guard page that it fell over.
    const crash = ["--crash", "vmalloc-linear-overflow", "--append", "oops=panic"];
    dump = bootDump(["--memory", "16M", "--seed", "6", ...crash]);
    areas = drgn(
      dump,
      `base = 0xffffc90000000000
head = prog['vmap_area_list'].address_of_()
print(json.dumps([{
  'start': a.va_start.value_() - base, 'end': a.va_end.value_() - base,
  'pages': a.vm.nr_pages.value_(), 'caller': prog.symbol(a.vm.caller.value_()).name,
} for a in list_for_each_entry('struct vmap_area', head, 'list')]))`,
    ) as Area[];
  }, 60_000);
  afterAll(() => dump?.remove());

  it("are two of one page each, and the safe copy's mapping, by address and apart", () => {
    const own = areas.filter((area) => area.caller === "lkdtm_VMALLOC_LINEAR_OVERFLOW");
    expect(own.map((area) => [area.pages, area.end - area.start])).toEqual([
      [1, 2 * PAGE],
      [1, 2 * PAGE],
    ]);
    expect(areas.some((area) => area.caller.startsWith("kimage_") && area.pages === 0)).toBe(true);
    for (let i = 1; i < areas.length; i++)
      expect(areas[i]?.start).toBeGreaterThanOrEqual((areas[i - 1] as Area).end);
  });

  it("kmem -v lists the same ones", () => {
    const listed = crash(dump, ["kmem -v"]).output.get("kmem -v") ?? "";
    const ranges = [...listed.matchAll(/^\w{16} +\w{16} +(\w{16}) - (\w{16}) +\d+$/gm)];
    expect(ranges.map(([, start, end]) => [start, end])).toEqual(
      areas.map(({ start, end }) => [address(start), address(end)]),
    );
  });

  it("vtop and rd reach a page of one, and not its guard; the oops names the guard", () => {
    const { start } = areas.find((area) => area.caller.startsWith("lkdtm")) as Area;
    const [page, guard] = [address(start), address(start + PAGE)];
    const { output } = crash(dump, [`vtop ${page}`, `rd ${page} 512`, `vtop ${guard}`, `kmem ${page}`]);
    expect(output.get(`vtop ${page}`)).toMatch(/\(PRESENT\|RW\|ACCESSED\|DIRTY\|GLOBAL\|NX\)/);
    expect(output.get(`rd ${page} 512`)?.match(/a{16}/g)).toHaveLength(512);
    expect(output.get(`vtop ${guard}`)).toMatch(/not mapped/);
    expect(output.get(`kmem ${page}`)).toContain("VMAP_AREA");
    expect(dump.dmesg).toContain(`BUG: unable to handle page fault for address: ${guard}\n`);
    expect(dump.dmesg).toContain("lkdtm_VMALLOC_LINEAR_OVERFLOW+0x");
  });
});
