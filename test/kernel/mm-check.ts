/** The fuzzer's checks of a crashed kernel's memory, over the memory of an mm machine. */

import { expect } from "vitest";
import { constants } from "../../build/generated/offsets.ts";
import { CrashedKernel } from "../../tools/crashed/kernel.ts";
import { SystemMap } from "../../tools/crashed/system-map.ts";
import { checkPages } from "../../tools/fuzz/check/pages.ts";
import { type Cache, checkSlabs } from "../../tools/fuzz/check/slabs.ts";
import type { MmMachine } from "./mm-machine.ts";

const START_KERNEL_MAP = 0xffffffff80000000n;

/** The machine's memory, for a machine whose image lies where it is linked. */
export function inspect(m: MmMachine): CrashedKernel {
  const lines = [...m.layout.symbols.values()].map(({ name, section, offset }) => {
    const at = section === "percpu" ? BigInt(offset) : START_KERNEL_MAP + BigInt(m.base + offset);
    return `${at.toString(16)} D ${name}`;
  });
  return new CrashedKernel(m.view, SystemMap.parse(new TextEncoder().encode(lines.join("\n"))));
}

/** Lists, flags and counters agree, no lock is held, interrupts are on. The caches, by address. */
export function checkAtRest(m: MmMachine, kernel: CrashedKernel, cpus: number): Map<number, Cache> {
  expect(m.call("check")).toBe(0);
  checkPages(kernel);
  expect(m.call("locked")).toBe(0);
  for (let cpu = 0; cpu < cpus; cpu++) {
    m.set_cpu(cpu);
    expect(m.call("locks_held")).toBe(0);
    expect(m.call("interrupts")).toBe(1);
  }
  return new Map(checkSlabs(kernel).map((cache) => [cache.at, cache]));
}

export const allocated = ({ objects, free_partial, free_cpu }: Cache): number =>
  objects - free_partial - free_cpu;

/** Pages of slabs, as the kernel counts them. */
export const slabPages = (kernel: CrashedKernel): number =>
  kernel.s64(kernel.symbol("vm_node_stat") + constants.NR_SLAB_UNRECLAIMABLE_B * 8) +
  kernel.s64(kernel.symbol("vm_node_stat") + constants.NR_SLAB_RECLAIMABLE_B * 8);
