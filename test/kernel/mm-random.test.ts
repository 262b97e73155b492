/**
 * SLUB, the page allocator and the per-CPU allocator through long random stories on several CPUs, held
 * against a model: what is given out does not overlap and is aligned, counts are the model's, lists and flags
 * are whole at every look, and in the end everything is back.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { pcpu_chunk } from "../../build/generated/offsets.ts";
import { allocated, checkAtRest, inspect, slabPages } from "./mm-check.ts";
import { bootMm, compileMm, type MmMachine } from "./mm-machine.ts";

const KB = 1 << 10;
const MB = 1 << 20;
const PAGE = 4096;
const CPUS = 4;
const GFP_KERNEL = 0xcc0;
const GFP_DMA = 0xcc1;
const GFP_MOVABLE = 0xcc8;
const NOWARN = 0x2000;
const COMP = 0x40000;

let production: Awaited<ReturnType<typeof compileMm>>;

beforeAll(async () => {
  production = await compileMm("production");
}, 120_000);

async function bootCpus(size: number, seed: number): Promise<MmMachine> {
  const map = [
    { addr: 0, size: 640 * KB },
    { addr: MB, size: size - MB - 64 * KB },
    { addr: size - 64 * KB, size: 64 * KB, type: 2 },
  ];
  const m = await bootMm(production, { size, image: MB, map, seed, cpus: CPUS });
  for (let cpu = 0; cpu < CPUS; cpu++) {
    m.set_cpu(cpu);
    m.call("start_cpu");
  }
  return m;
}

/** A small generator, so that a failure can be run again. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

interface Kind {
  cache: number;
  size: number;
  align: number;
}

/** Object sizes and alignments: some many to a slab, some few, one larger than a page. */
const KINDS: [size: number, align: number][] = [
  [8, 0],
  [24, 0],
  [96, 64],
  [200, 0],
  [512, 0],
  [1000, 256],
  [2048, 0],
  [5000, 0],
];

describe.each([1, 2, 3])("SLUB, seed %i", (seed) => {
  it("agrees with a model through 20000 steps on four CPUs", async () => {
    const m = await bootCpus(64 * MB, seed);
    const kernel = inspect(m);
    const next = random(seed);
    const before = m.call("nr_free") + slabPages(kernel);
    const kinds: Kind[] = KINDS.map(([size, align]) => ({
      cache: m.call("cache_create", size, align),
      size,
      align: Math.max(align, 8),
    }));
    const held: { at: number; kind: Kind; tag: number }[] = [];
    const count = new Map<number, number>(kinds.map(({ cache }) => [cache, 0]));
    const change = ({ cache }: Kind, by: number) => count.set(cache, (count.get(cache) ?? 0) + by);
    const look = (): void => {
      const caches = checkAtRest(m, kernel, CPUS);
      for (const { cache } of kinds) expect(allocated(caches.get(cache)!)).toBe(count.get(cache));
    };
    // Waves: more allocations, then more frees, so that slabs fill, empty, and go back.
    for (let step = 0; step < 20_000; step++) {
      m.set_cpu(next(CPUS));
      const grows = Math.floor(step / 2500) % 2 === 0;
      if (next(100) < (grows ? 65 : 30) || !held.length) {
        const kind = kinds[next(kinds.length)] as Kind;
        const at = m.call("cache_alloc", kind.cache);
        expect(at).not.toBe(0);
        expect(at % kind.align).toBe(0);
        const tag = next(256);
        m.bytes.fill(tag, at, at + kind.size);
        held.push({ at, kind, tag });
        change(kind, 1);
      } else {
        const at = next(held.length);
        const object = held[at]!;
        held[at] = held.at(-1)!;
        held.pop();
        const bytes = m.bytes.subarray(object.at, object.at + object.kind.size);
        expect(bytes.findIndex((byte) => byte !== object.tag)).toBe(-1);
        m.call("cache_free", object.kind.cache, object.at);
        change(object.kind, -1);
      }
      if (step % 1000 === 999) look();
    }
    const sorted = held.toSorted((a, b) => a.at - b.at);
    expect(sorted.every(({ at }, i) => i === 0 || at >= sorted[i - 1]!.at + sorted[i - 1]!.kind.size)).toBe(
      true,
    );
    for (const { at, kind } of held) {
      m.set_cpu(next(CPUS));
      m.call("cache_free", kind.cache, at);
      change(kind, -1);
    }
    look();
    m.set_cpu(next(CPUS));
    for (const { cache } of kinds) m.call("cache_destroy", cache);
    const left = checkAtRest(m, kernel, CPUS);
    expect(kinds.some(({ cache }) => left.has(cache))).toBe(false);
    // The caches of caches have grown; all other memory is free again.
    expect(m.call("nr_free") + slabPages(kernel)).toBe(before);
  });
});

describe("SLUB's lists", () => {
  /** One cache of 16 objects a slab. */
  const boot = async () => {
    const m = await bootCpus(16 * MB, 1);
    const cache = m.call("cache_create", 1024, 0);
    const kernel = inspect(m);
    const on = (cpu: number): MmMachine => {
      m.set_cpu(cpu);
      return m;
    };
    const state = () => {
      const { slabs, objects, free_partial, free_cpu } = checkAtRest(m, kernel, CPUS).get(cache)!;
      return { slabs, objects, free_partial, free_cpu };
    };
    const alloc = (cpu: number, count: number) =>
      Array.from({ length: count }, () => on(cpu).call("cache_alloc", cache));
    const free = (cpu: number, objects: number[]) => {
      for (const at of objects) on(cpu).call("cache_free", cache, at);
    };
    const perSlab = (): number => {
      const { slabs, objects } = state();
      return objects / slabs;
    };
    return { m, cache, alloc, free, state, perSlab };
  };

  it("each CPU has a slab of its own, and frees into another's stay there", async () => {
    const { alloc, free, state, perSlab } = await boot();
    const a = alloc(0, 1);
    const b = alloc(1, 1);
    const n = perSlab();
    expect(state()).toEqual({ slabs: 2, objects: 2 * n, free_partial: 0, free_cpu: 2 * n - 2 });
    free(1, a);
    free(0, b);
    expect(state()).toEqual({ slabs: 2, objects: 2 * n, free_partial: 0, free_cpu: 2 * n });
    // What the other freed is found when the CPU's own list is used up: no new slab.
    alloc(0, n);
    expect(state()).toEqual({ slabs: 2, objects: 2 * n, free_partial: 0, free_cpu: n });
  });

  it("a full slab is on no list; freed into, it waits on the partial list of the CPU that did", async () => {
    const { alloc, free, state, perSlab } = await boot();
    const first = alloc(0, 1);
    const n = perSlab();
    first.push(...alloc(0, n - 1));
    const second = alloc(0, n);
    expect(state()).toEqual({ slabs: 2, objects: 2 * n, free_partial: 0, free_cpu: 0 });
    free(2, first.splice(0, 1));
    expect(state()).toEqual({ slabs: 2, objects: 2 * n, free_partial: 0, free_cpu: 1 });
    alloc(2, 1);
    expect(state()).toEqual({ slabs: 2, objects: 2 * n, free_partial: 0, free_cpu: 0 });
    free(1, second);
    expect(state()).toEqual({ slabs: 2, objects: 2 * n, free_partial: 0, free_cpu: n });
  });

  it("too many on a CPU's partial list go to the node, beyond min_partial to the buddies", async () => {
    const { m, alloc, free, state, perSlab } = await boot();
    const pages = m.call("nr_free");
    const one = alloc(0, 1);
    const n = perSlab();
    const all = [...one, ...alloc(0, 40 * n - 1)];
    expect(state().slabs).toBe(40);
    const order = all.toSorted((a, b) => a - b);
    // One object of each slab: some of the slabs are the node's now.
    const firsts = order.filter((_, i) => i % n === 0);
    free(3, firsts);
    const partial = state();
    expect(partial.free_partial).toBeGreaterThan(20);
    expect(partial.free_cpu).toBeGreaterThan(0);
    expect(partial.free_partial + partial.free_cpu).toBe(40);
    free(
      3,
      order.filter((_, i) => i % n !== 0),
    );
    const end = state();
    // min_partial is 5, cpu_partial 6 objects; one slab is CPU 0's, and what CPU 3 keeps is a few.
    expect(end.slabs).toBeLessThan(12);
    expect(end.free_partial + end.free_cpu).toBe(end.objects);
    expect(pages - m.call("nr_free")).toBeLessThan(12 * 8);
  });
});

describe.each([1, 2])("page allocator, seed %i", (seed) => {
  it("agrees with a model through 15000 steps on four CPUs", async () => {
    const size = 40 * MB;
    const m = await bootCpus(size, seed);
    const kernel = inspect(m);
    const next = random(seed + 100);
    const before = m.call("nr_free");
    /** By page frame: whether the model gave it out. */
    const used = new Uint8Array(size / PAGE);
    const held: { addr: number; order: number; comp: boolean }[] = [];
    const single: number[] = [];
    let pages = 0;
    const mark = (addr: number, count: number, value: number): void => {
      for (let i = 0; i < count; i++) {
        if (used[addr / PAGE + i] === value) throw new Error(`page ${addr / PAGE + i}: ${value} twice`);
        used[addr / PAGE + i] = value;
      }
      pages += value ? count : -count;
    };
    for (let step = 0; step < 15_000; step++) {
      m.set_cpu(next(CPUS));
      const grows = Math.floor(step / 1500) % 2 === 0;
      const what = next(100);
      if (what < 4) {
        // A page out of the middle of a free block, as memory_failure takes it.
        const addr = next(size / PAGE) * PAGE;
        if (m.call("take_off", addr)) {
          mark(addr, 1, 1);
          single.push(addr);
        }
      } else if (what < 7 && single.length) {
        const addr = single.pop() as number;
        m.call("take_back", addr);
        mark(addr, 1, 0);
      } else if (what < (grows ? 66 : 34)) {
        const order = next(10) < 7 ? next(3) : next(11);
        const gfp = [GFP_KERNEL, GFP_MOVABLE, GFP_DMA][next(3)] as number;
        const comp = next(2) === 0;
        const addr = m.call("alloc", gfp | NOWARN | (comp ? COMP : 0), order);
        if (!addr) continue;
        expect(addr % (PAGE << order)).toBe(0);
        if (gfp === GFP_DMA) expect(addr).toBeLessThan(16 * MB);
        mark(addr, 1 << order, 1);
        held.push({ addr, order, comp });
      } else if (held.length) {
        const at = next(held.length);
        const { addr, order, comp } = held[at]!;
        held[at] = held.at(-1)!;
        held.pop();
        // A compound page lives as long as somebody holds any page of it.
        if (comp) m.call("hold", addr + next(1 << order) * PAGE);
        m.call("free", addr, order);
        if (comp) {
          expect(m.call("nr_free")).toBe(before - pages);
          m.call("drop", addr + next(1 << order) * PAGE);
        }
        mark(addr, 1 << order, 0);
      }
      expect(m.call("nr_free")).toBe(before - pages);
      if (step % 1000 === 999) checkAtRest(m, kernel, CPUS);
    }
    for (const { addr, order } of held) m.call("free", addr, order);
    for (const addr of single) m.call("take_back", addr);
    checkAtRest(m, kernel, CPUS);
    expect(m.call("nr_free")).toBe(before);
  });
});

describe("per-CPU allocator", () => {
  it("agrees with a model through random use", async () => {
    const m = await bootCpus(16 * MB, 1);
    const next = random(9);
    const kernel = inspect(m);
    const chunk = kernel.pointer(kernel.symbol("pcpu_first_chunk"));
    const free = (): number => kernel.u32(chunk + pcpu_chunk.free_bytes);
    const before = free();
    const held: { at: number; size: number; tag: number }[] = [];
    for (let step = 0; step < 3000; step++) {
      m.set_cpu(next(CPUS));
      if (next(100) < 55 || !held.length) {
        const size = 1 + next(120);
        const align = 8 << next(4);
        const at = m.call("percpu_alloc", size, align);
        if (!at) continue;
        expect(at % align).toBe(0);
        const tag = next(255) + 1;
        for (let cpu = 0; cpu < CPUS; cpu++) {
          const place = m.call("percpu_at", at, cpu);
          expect(m.bytes.subarray(place, place + size).every((byte) => byte === 0)).toBe(true);
          m.bytes.fill(tag + cpu, place, place + size);
        }
        held.push({ at, size, tag });
      } else {
        const [{ at, size, tag }] = held.splice(next(held.length), 1) as [(typeof held)[number]];
        for (let cpu = 0; cpu < CPUS; cpu++) {
          const place = m.call("percpu_at", at, cpu);
          const bytes = m.bytes.subarray(place, place + size);
          expect(bytes.findIndex((byte) => byte !== ((tag + cpu) & 0xff))).toBe(-1);
        }
        m.call("percpu_free", at);
      }
    }
    for (const { at } of held) m.call("percpu_free", at);
    expect(free()).toBe(before);
  });
});
