/**
 * Slabs as stock crash reads them from a dump, against our own reader's count of the same dump, which is what
 * /proc/slabinfo says (test/kernel/proc-memory.test.ts).
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { kmem_cache } from "../../build/generated/offsets.ts";
import { CrashedKernel } from "../../tools/crashed/kernel.ts";
import { SystemMap } from "../../tools/crashed/system-map.ts";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import { ElfCore } from "../../tools/dump/elf.ts";
import { type Cache, checkSlabs } from "../../tools/fuzz/check/slabs.ts";
import { type BootDump, bootDump, built } from "../support/boot.ts";
import { describeStock } from "../support/stock.ts";
import { type CrashRun, crash } from "./debuggers.ts";

const MACHINES = [
  { name: "8M", flags: "--memory 8M --seed 1 --append crashkernel=1M" },
  { name: "24M after a long story", flags: "--memory 24M --seed 5 --poweron random --workload 3000" },
  { name: "64M, half full", flags: "--memory 64M --seed 6 --fill 50% --workload 500" },
];

const COMPLAINT = /invalid|cannot|corrupt|duplicate|mismatch|error|bad |freelist .*\?/i;

/** All memory that the dump holds, each byte at its physical address; the rest is zero. */
async function kernelOf(dump: BootDump): Promise<CrashedKernel> {
  const core = await ElfCore.open(new MemoryBytes(dump.vmcore, readFileSync(dump.vmcore)));
  const memory = new Uint8Array(Math.max(...core.ranges.map(({ end }) => end)));
  for (const { start, end } of core.ranges) {
    for (let at = start; at < end; at += 1 << 20) {
      memory.set(await core.read(at, Math.min(1 << 20, end - at)), at);
    }
  }
  const symbols = SystemMap.parse(readFileSync(built("System.map")));
  return new CrashedKernel(new DataView(memory.buffer), symbols);
}

describe.each(MACHINES)("kmem on the dump of $name", ({ flags }) => {
  let dump: BootDump;
  let caches: Cache[];
  let kernel: CrashedKernel;
  let run: CrashRun;
  const output = (command: string): string => run.output.get(command) ?? "";

  describeStock(["crash"], "crash", () => {
    beforeAll(async () => {
      dump = bootDump(flags.split(" "));
      kernel = await kernelOf(dump);
      caches = checkSlabs(kernel);
      run = crash(dump, ["kmem -s", ...caches.map(({ name }) => `kmem -S ${name}`)]);
    }, 120_000);
    afterAll(() => dump?.remove());

    it("-s: every cache's objects, allocated ones and slabs", () => {
      expect(output("kmem -s")).not.toMatch(COMPLAINT);
      const lines = output("kmem -s").trimEnd().split("\n").slice(1);
      const rows = lines.map((line) => {
        const [, size, allocated, total, slabs, pages, name] = line.trim().split(/\s+/);
        return { name, size, allocated, total, slabs, pages };
      });
      const expected = caches.map((it) => ({
        name: it.name,
        size: `${kernel.u32(it.at + kmem_cache.object_size)}`,
        allocated: `${it.objects - it.free_partial - it.free_cpu}`,
        total: `${it.objects}`,
        slabs: `${it.slabs}`,
        pages: `${4 << (kernel.u32(it.at + kmem_cache.oo) >>> 16)}k`,
      }));
      expect(rows).toEqual(expected);
    });

    it("-S: each object of each slab that a CPU or the node holds, free ones where they are free", () => {
      let waiting = 0;
      for (const cache of caches) {
        const text = output(`kmem -S ${cache.name}`);
        expect(text, cache.name).not.toMatch(COMPLAINT);
        const [cpu = "", node = ""] = text.split(/^KMEM_CACHE_NODE .*$/m);
        const free = (part: string): number => [...part.matchAll(/^ {3}[0-9a-f]{16}/gm)].length;
        expect(free(cpu), cache.name).toBe(cache.free_cpu);
        expect(free(node), cache.name).toBe(cache.free_partial);
        waiting += [...cpu.matchAll(/^CPU \d+ PARTIAL:\n +SLAB /gm)].length;
      }
      if (flags.includes("workload")) expect(waiting).toBeGreaterThan(0);
    });
  });
});
