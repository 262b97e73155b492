/** The fuzzer's check of swap: a machine that swaps passes, and each planted defect is found. */
import { existsSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { constants, mm_struct, swap_info_struct, task_struct } from "../../build/generated/offsets.ts";
import type { Machine } from "../../runtime/index.ts";
import { CrashedKernel, Inconsistency } from "../../tools/crashed/kernel.ts";
import { SystemMap } from "../../tools/crashed/system-map.ts";
import { checkSwap } from "../../tools/fuzz/check/swap.ts";
import { built } from "../support/boot.ts";
import { Heap, numbers, withSwap } from "../support/swap-machine.ts";

describe.skipIf(!existsSync(built("vmlinuz")))("the check of swap", () => {
  let memory: Uint8Array;
  let symbols: SystemMap;

  beforeAll(async () => {
    symbols = SystemMap.parse(new Uint8Array(readFileSync(built("System.map"))));
    await withSwap(4096, async (proc, machine: Machine) => {
      const heap = await Heap.behind(proc);
      for (let swapped = 0; swapped < 2048; ) {
        await heap.grow(32);
        const { SwapTotal = 0, SwapFree = 0 } = await numbers(proc, "/proc/meminfo");
        swapped = SwapTotal - SwapFree;
      }
      const kid = await proc.fork(async (child) => {
        // They come in for the child, and stay out for its parent.
        const own = heap.of(child);
        for (let page = 0; page < own.pages; page += 3) await own.page(page);
        await child.sleep(1e6);
        return 0;
      });
      await proc.sleep(1000);
      memory = machine.memory.copy(0, machine.memory.size);
      await proc.kill(kid, 9);
    });
  });

  const kernelOf = (bytes: Uint8Array): CrashedKernel =>
    new CrashedKernel(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), symbols);
  const area = (kernel: CrashedKernel): number => kernel.pointer(kernel.symbol("swap_info"));
  const add = (kernel: CrashedKernel, bytes: Uint8Array, at: number): void =>
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, (kernel.u32(at) + 1) >>> 0, true);
  /** The first place whose byte of the map has so many uses. */
  const place = (kernel: CrashedKernel, fits: (value: number) => boolean): number => {
    const map = kernel.pointer(area(kernel) + swap_info_struct.swap_map);
    const max = kernel.u32(area(kernel) + swap_info_struct.max);
    for (let offset = 1; offset < max; offset++) if (fits(kernel.u8(map + offset))) return map + offset;
    throw new Error("no such place");
  };

  it("finds nothing in a machine that swaps, forks and has pages in the swap cache", () => {
    const kernel = kernelOf(memory);
    checkSwap(kernel);
    expect(kernel.u32(area(kernel) + swap_info_struct.inuse_pages)).toBeGreaterThan(100);
    place(kernel, (value) => (value & constants.SWAP_HAS_CACHE) !== 0);
    place(kernel, (value) => value === 2);
  });

  const DEFECTS: Record<string, [RegExp, (kernel: CrashedKernel, bytes: Uint8Array) => void]> = {
    "a place with one use too many": [
      /swap_map of place/,
      (kernel, bytes) =>
        add(
          kernel,
          bytes,
          place(kernel, (value) => value !== 0),
        ),
    ],
    "a place that nobody uses": [
      /swap_map of place/,
      (kernel, bytes) =>
        add(
          kernel,
          bytes,
          place(kernel, (v) => v === 0),
        ),
    ],
    "places in use": [
      /inuse_pages says/,
      (kernel, bytes) => add(kernel, bytes, area(kernel) + swap_info_struct.inuse_pages),
    ],
    "free places": [
      /nr_swap_pages says/,
      (kernel, bytes) => add(kernel, bytes, kernel.symbol("nr_swap_pages")),
    ],
    "all places": [
      /total_swap_pages says/,
      (kernel, bytes) => add(kernel, bytes, kernel.symbol("total_swap_pages")),
    ],
    "pages in the swap cache": [
      /NR_SWAPCACHE says/,
      (kernel, bytes) => add(kernel, bytes, kernel.symbol("vm_node_stat") + constants.NR_SWAPCACHE * 8),
    ],
    "the entries of an address space": [
      /swap entries, its counter says/,
      (kernel, bytes) => {
        const init = kernel.pointer(kernel.symbol("init_task") + task_struct.tasks) - task_struct.tasks;
        const mm = kernel.pointer(init + task_struct.mm);
        add(kernel, bytes, mm + mm_struct.rss_stat + constants.MM_SWAPENTS * 8);
      },
    ],
    "the header's place": [
      /header's place/,
      (kernel, bytes) => {
        bytes[kernel.pointer(area(kernel) + swap_info_struct.swap_map)] = 0;
      },
    ],
  };

  it.each(Object.keys(DEFECTS))("finds a planted defect: %s", (name) => {
    const [what, plant] = DEFECTS[name] as (typeof DEFECTS)[string];
    const bytes = memory.slice();
    plant(kernelOf(bytes), bytes);
    expect(() => checkSwap(kernelOf(bytes))).toThrow(what);
    expect(() => checkSwap(kernelOf(bytes))).toThrow(Inconsistency);
  });
});
