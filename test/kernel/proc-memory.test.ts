/**
 * /proc/slabinfo, zoneinfo, buddyinfo, pagetypeinfo and vmstat against the structs in memory, at the same
 * moment: between the read that made the text and the next system call nothing in the kernel moves.
 */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  constants,
  free_area,
  kmem_cache,
  list_head,
  pglist_data,
  zone,
} from "../../build/generated/offsets.ts";
import type { Machine } from "../../runtime/index.ts";
import type { Proc } from "../../runtime/user/proc.ts";
import { CrashedKernel } from "../../tools/crashed/kernel.ts";
import { SystemMap } from "../../tools/crashed/system-map.ts";
import { checkPages } from "../../tools/fuzz/check/pages.ts";
import { checkSlabs } from "../../tools/fuzz/check/slabs.ts";
import { built } from "../support/boot.ts";
import { runInKernel } from "../support/kernel-program.ts";

/** A file's text, and the kernel as it was when the text was made. The file is still open. */
async function snapshot(proc: Proc, machine: Machine, path: string): Promise<[string, CrashedKernel]> {
  const fd = await proc.open(path, 0);
  const buffer = new Uint8Array(32_768);
  // A first time for the pages of the buffer, which the read faults in behind the text's making.
  await proc.read(fd, buffer);
  await proc.lseek(fd, 0, 0);
  const count = await proc.read(fd, buffer);
  const { memory } = machine;
  const symbols = SystemMap.parse(new Uint8Array(readFileSync(built("System.map"))));
  const view = new DataView(memory.bytes.slice().buffer);
  expect(await proc.read(fd, buffer)).toBe(0);
  await proc.close(fd);
  return [new TextDecoder("latin1").decode(buffer.slice(0, count)), new CrashedKernel(view, symbols)];
}

/** Files and tasks, so that caches have full, partial and empty slabs. */
async function live(proc: Proc): Promise<void> {
  for (let i = 0; i < 900; i++) {
    const fd = await proc.open(`/file${i}`, 0o102, 0o600);
    await proc.write(fd, new Uint8Array(100 * (i % 50)));
    await proc.close(fd);
  }
  for (let i = 0; i < 900; i += 2) await proc.unlink(`/file${i}`);
}

describe.skipIf(!existsSync(built("vmlinuz")))("memory's files in /proc", () => {
  it("slabinfo counts what a reader of the slabs counts", async () => {
    await runInKernel(async (proc, machine) => {
      await live(proc);
      const [text, kernel] = await snapshot(proc, machine, "/proc/slabinfo");
      const lines = text.trimEnd().split("\n");
      expect(lines.splice(0, 2)).toEqual([
        "slabinfo - version: 2.1",
        "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables " +
          "<limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>",
      ]);
      const caches = checkSlabs(kernel);
      expect(caches.length).toBeGreaterThan(20);
      expect(caches.filter(({ free_partial }) => free_partial > 0).length).toBeGreaterThan(1);
      const column = (value: number, width: number): string => String(value).padStart(width);
      expect(lines).toEqual(
        caches.map(({ at, name, size, slabs, objects, free_partial }) => {
          const oo = kernel.u32(at + kmem_cache.oo);
          const counts = [column(objects - free_partial, 6), column(objects, 6), column(size, 6)];
          const geometry = [column(oo & 0xffff, 4), column(1 << (oo >>> 16), 4)];
          const total = column(slabs, 6);
          return (
            `${name.padEnd(17)} ${[...counts, ...geometry].join(" ")} : tunables    0    0    0 : ` +
            `slabdata ${total} ${total}      0`
          );
        }),
      );
    });
  });

  const ZONES = ["DMA", "DMA32", "Normal", "Movable"];
  const node = (kernel: CrashedKernel): number => kernel.pointer(kernel.symbol("node_data"));
  const zoneAt = (kernel: CrashedKernel, i: number): number =>
    node(kernel) + pglist_data.node_zones + i * zone.SIZE;
  /** Zones with memory, by index. */
  const populated = (kernel: CrashedKernel): number[] =>
    [0, 1, 2, 3].filter((i) => kernel.u64(zoneAt(kernel, i) + zone.present_pages) > 0);
  const area = (kernel: CrashedKernel, i: number, order: number): number =>
    zoneAt(kernel, i) + zone.free_area + order * free_area.SIZE;
  const ORDERS = [...Array(constants.MAX_ORDER).keys()];
  const cells = (values: readonly (number | string)[], width: number): string =>
    values.map((value) => `${String(value).padStart(width)} `).join("");

  it("buddyinfo and pagetypeinfo show the free lists", async () => {
    await runInKernel(async (proc, machine) => {
      await live(proc);
      const [buddy, before] = await snapshot(proc, machine, "/proc/buddyinfo");
      checkPages(before);
      expect(buddy.trimEnd().split("\n")).toEqual(
        populated(before).map((i) => {
          const free = ORDERS.map((order) => before.u64(area(before, i, order) + free_area.nr_free));
          return `Node 0, zone ${(ZONES[i] as string).padStart(8)} ${cells(free, 6)}`.trimEnd();
        }),
      );
      const [types, kernel] = await snapshot(proc, machine, "/proc/pagetypeinfo");
      checkPages(kernel);
      const lines = types.split("\n");
      expect(lines.slice(0, 4)).toEqual([
        "Page block order: 9",
        "Pages per block:  512",
        "",
        `${"Free pages count per migrate type at order".padEnd(43)} ${cells(ORDERS, 6)}`,
      ]);
      const names = ["Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate"];
      const zones = populated(kernel);
      const lists = zones.flatMap((i) =>
        names.map((name, type) => {
          const lengths = ORDERS.map((order) => {
            const head = area(kernel, i, order) + free_area.free_list + type * list_head.SIZE;
            return [...kernel.list(head, name)].length;
          });
          const place = `Node    0, zone ${(ZONES[i] as string).padStart(8)}`;
          return `${place}, type ${name.padStart(12)} ${cells(lengths, 6)}`;
        }),
      );
      expect(lines.slice(4, 4 + lists.length)).toEqual(lists);
      expect(lists.some((line) => /type +Movable .*[1-9]/.test(line))).toBe(true);
      const [empty, header, ...blocks] = lines.slice(4 + lists.length, -1);
      expect([empty, header]).toEqual(["", `${"Number of blocks type ".padEnd(23)}${cells(names, 12)}`]);
      expect(blocks).toHaveLength(zones.length);
      for (const [n, i] of zones.entries()) {
        const counts = (blocks[n] as string).trim().split(/ +/).slice(4).map(Number);
        const start = kernel.u64(zoneAt(kernel, i) + zone.zone_start_pfn);
        const end = start + kernel.u64(zoneAt(kernel, i) + zone.spanned_pages);
        expect(counts.reduce((sum, count) => sum + count)).toBe(
          Math.ceil(end / 512) - Math.floor(start / 512),
        );
      }
    });
  });

  it("zoneinfo and vmstat show the counters", async () => {
    await runInKernel(async (proc, machine) => {
      await live(proc);
      const [text, kernel] = await snapshot(proc, machine, "/proc/zoneinfo");
      const parts = text.split(/^(?=Node 0, zone )/m);
      expect(parts.map((part) => part.split("\n")[0])).toEqual(
        ZONES.map((name) => `Node 0, zone ${name.padStart(8)}`),
      );
      const value = (part: string, name: string): number =>
        Number(new RegExp(`^ +(?:pages )?${name} +(\\d+)$`, "m").exec(part)?.[1]);
      const populatedZones = populated(kernel);
      expect(populatedZones.length).toBeGreaterThan(0);
      for (const [i, part] of parts.entries()) {
        const at = zoneAt(kernel, i);
        const reserve = ZONES.map((_, n) => kernel.s64(at + zone.lowmem_reserve + n * 8));
        expect(part).toContain(`        protection: (${reserve.join(", ")})\n`);
        const marks = ["min", "low", "high"].map((name) => value(part, name));
        expect(marks).toEqual([0, 1, 2].map((n) => kernel.u64(at + zone._watermark + n * 8)));
        expect(value(part, "free")).toBe(kernel.u64(at + zone.vm_stat + constants.NR_FREE_PAGES * 8));
        expect(value(part, "spanned")).toBe(kernel.u64(at + zone.spanned_pages));
        expect(value(part, "present")).toBe(kernel.u64(at + zone.present_pages));
        expect(value(part, "managed")).toBe(kernel.u64(at + zone.managed_pages));
        if (!populatedZones.includes(i)) continue;
        const [min = 0, low = 0, high = 0] = marks;
        expect(0 < min && min < low && low < high).toBe(true);
        expect(part).toContain(`  start_pfn:           ${kernel.u64(at + zone.zone_start_pfn)}\n`);
      }
      const [vmstat, then] = await snapshot(proc, machine, "/proc/vmstat");
      const shown = [...vmstat.matchAll(/^(\w+) (\d+)$/gm)].map(([, name, count]) => [name, Number(count)]);
      const { NR_VM_ZONE_STAT_ITEMS: zoneItems, NR_VM_NODE_STAT_ITEMS: nodeItems } = constants;
      const counters = (symbol: string, count: number): number[] =>
        [...Array(count).keys()].map((n) => Math.max(then.s64(then.symbol(symbol) + n * 8), 0));
      const all = [...counters("vm_zone_stat", zoneItems), ...counters("vm_node_stat", nodeItems)];
      expect(shown.slice(0, all.length).map(([, count]) => count)).toEqual(all);
      // The sums of the zones and of the node are the machine's.
      for (let item = 0; item < zoneItems; item++) {
        const parts = ZONES.map((_, i) => then.s64(zoneAt(then, i) + zone.vm_stat + item * 8));
        expect(parts.reduce((sum, part) => sum + part)).toBe(
          then.s64(then.symbol("vm_zone_stat") + item * 8),
        );
      }
      for (let item = 0; item < nodeItems; item++) {
        const part = then.s64(node(then) + pglist_data.vm_stat + item * 8);
        expect(part).toBe(then.s64(then.symbol("vm_node_stat") + item * 8));
      }
    });
  });
});
