/** SLUB: each cache's slabs, the chains of their free objects and the counters, against struct pages. */
import {
  constants,
  kmem_cache,
  kmem_cache_cpu,
  kmem_cache_node,
  page as layout,
} from "../../../build/generated/offsets.ts";
import { type CrashedKernel, hex, Inconsistency } from "../../crashed/kernel.ts";
import { type Guard, type Part, spinlock, strict } from "./in-flight.ts";

const PAGE_SHIFT = 12;
const FROZEN = 0x80000000;

/** A cache as its slabs show it. */
export interface Cache {
  at: number;
  name: string;
  size: number;
  offset: number;
  slabs: number;
  objects: number;
  /** Free objects of slabs that are nobody's, and of those that CPUs hold. */
  free_partial: number;
  free_cpu: number;
}

/** Caches by their address, and the slabs that a CPU or a node holds. */
interface Found {
  caches: Map<number, Cache>;
  held: Set<number>;
}

/** The words of a slab's struct page. */
function slabOf(kernel: CrashedKernel, at: number) {
  const counters = kernel.u32(at + layout.counters);
  return {
    cache: kernel.pointer(at + layout.slab_cache),
    freelist: kernel.pointer(at + layout.freelist),
    inuse: counters & 0xffff,
    objects: (counters >>> 16) & 0x7fff,
    frozen: (counters & FROZEN) !== 0,
    start: kernel.pfnOf(at) << PAGE_SHIFT,
  };
}

/** Free objects from `object` on; each must be an object of the slab, and none stand twice. */
function chain(kernel: CrashedKernel, cache: Cache, page: number, object: number, seen: Set<number>): number {
  const { start, objects } = slabOf(kernel, page);
  let count = 0;
  for (let at = object; at !== 0; at = kernel.pointer(at + cache.offset)) {
    const index = (at - start) / cache.size;
    if (!Number.isInteger(index) || index < 0 || index >= objects) {
      throw new Inconsistency(
        `${cache.name}: ${hex(at)} in a free list is no object of the slab at ${hex(start)}`,
      );
    }
    if (seen.has(at)) throw new Inconsistency(`${cache.name}: object ${hex(at)} is free twice`);
    seen.add(at);
    count++;
  }
  return count;
}

/** Each slab is in one place. */
function hold(kernel: CrashedKernel, { held }: Found, cache: Cache, page: number): void {
  if (held.has(page)) {
    throw new Inconsistency(`${cache.name}: slab at ${hex(slabOf(kernel, page).start)} is in two places`);
  }
  held.add(page);
}

/** A slab that is nobody's, or frozen for later: `inuse` is what its free list leaves. Its free objects. */
function checkSlab(kernel: CrashedKernel, found: Found, cache: Cache, page: number, frozen: boolean): number {
  const slab = slabOf(kernel, page);
  const what = `${cache.name}: slab at ${hex(slab.start)}`;
  if ((kernel.u32(page + layout.flags) & (1 << constants.PG_slab)) === 0) {
    throw new Inconsistency(`${what} has no PG_slab`);
  }
  if (slab.cache !== cache.at) throw new Inconsistency(`${what} belongs to another cache`);
  if (slab.frozen !== frozen) throw new Inconsistency(`${what} is ${frozen ? "not " : ""}frozen`);
  hold(kernel, found, cache, page);
  const free = chain(kernel, cache, page, slab.freelist, new Set());
  if (slab.inuse !== slab.objects - free) {
    throw new Inconsistency(`${what}: ${free} of ${slab.objects} objects are free, inuse says ${slab.inuse}`);
  }
  return free;
}

function checkCpu(kernel: CrashedKernel, found: Found, cache: Cache, number: number): void {
  const cpu = kernel.percpuBase(number) + kernel.u32(cache.at + kmem_cache.cpu_slab);
  const page = kernel.pointer(cpu + kmem_cache_cpu.page);
  const freelist = kernel.pointer(cpu + kmem_cache_cpu.freelist);
  if (page === 0) {
    if (freelist !== 0) throw new Inconsistency(`${cache.name}: a CPU has free objects and no slab`);
  } else {
    const slab = slabOf(kernel, page);
    if (slab.cache !== cache.at) throw new Inconsistency(`${cache.name}: a CPU's slab is another cache's`);
    if (!slab.frozen) throw new Inconsistency(`${cache.name}: a CPU's slab is not frozen`);
    hold(kernel, found, cache, page);
    const seen = new Set<number>();
    chain(kernel, cache, page, freelist, seen);
    const others = chain(kernel, cache, page, slab.freelist, seen);
    if (slab.inuse !== slab.objects - others) {
      throw new Inconsistency(`${cache.name}: a CPU's slab says ${slab.inuse} in use, ${others} came back`);
    }
    cache.free_cpu += seen.size;
  }
  for (let next = kernel.pointer(cpu + kmem_cache_cpu.partial), n = 0; next !== 0; n++) {
    if (n > 1000) throw new Inconsistency(`${cache.name}: a CPU's partial list does not end`);
    cache.free_cpu += checkSlab(kernel, found, cache, next, true);
    next = kernel.pointer(next + layout.next);
  }
}

function checkNode(kernel: CrashedKernel, found: Found, cache: Cache): void {
  const node = kernel.pointer(cache.at + kmem_cache.node);
  let partial = 0;
  for (const entry of kernel.list(node + kmem_cache_node.partial, `${cache.name}: partial list`)) {
    cache.free_partial += checkSlab(kernel, found, cache, entry - layout.slab_list, false);
    partial++;
  }
  const expect = (name: "nr_partial" | "nr_slabs" | "total_objects", found: number): void => {
    const counted = kernel.u64(node + kmem_cache_node[name]);
    if (counted !== found) throw new Inconsistency(`${cache.name}: ${name} is ${counted}, not ${found}`);
  };
  expect("nr_partial", partial);
  expect("nr_slabs", cache.slabs);
  expect("total_objects", cache.objects);
}

function readCaches(kernel: CrashedKernel): Map<number, Cache> {
  const caches = new Map<number, Cache>();
  for (const entry of kernel.list(kernel.symbol("slab_caches"), "slab_caches")) {
    const at = entry - kmem_cache.list;
    caches.set(at, {
      at,
      name: kernel.text(kernel.pointer(at + kmem_cache.name), 64),
      size: kernel.u32(at + kmem_cache.size),
      offset: kernel.u32(at + kmem_cache.offset),
      slabs: 0,
      objects: 0,
      free_partial: 0,
      free_cpu: 0,
    });
  }
  return caches;
}

/** A slab that nobody holds must be full. */
function checkUnheld(kernel: CrashedKernel, cache: Cache, page: number): void {
  const slab = slabOf(kernel, page);
  if (slab.freelist === 0 && slab.inuse === slab.objects && !slab.frozen) return;
  throw new Inconsistency(`${cache.name}: slab at ${hex(slab.start)} has free objects, but is on no list`);
}

function slabPages(kernel: CrashedKernel): number[] {
  const { first, end } = kernel.pages;
  const pages: number[] = [];
  for (let pfn = first; pfn < end; pfn++) {
    const at = kernel.pageAt(pfn);
    if ((kernel.u32(at + layout.flags) & (1 << constants.PG_slab)) !== 0) pages.push(at);
  }
  return pages;
}

/** Who takes objects and slabs, or gives them back. */
const CHANGES_SLABS = new RegExp(
  "^(kmem_cache_alloc|kmem_cache_free|kfree|__kmalloc|kmalloc|slab_free|__slab_free|___slab_alloc|new_slab|" +
    "discard_slab|deactivate_slab|flush_slab|get_partial|put_cpu_partial|__unfreeze_partials)$",
);

/**
 * Every cache, with what was counted in its slabs. `part`: what the operations under way excuse; nothing
 * without it.
 */
export function checkSlabs(kernel: CrashedKernel, part: Part = strict): Cache[] {
  const found: Found = { caches: readCaches(kernel), held: new Set() };
  const { caches, held } = found;
  const pages = slabPages(kernel);
  const ownerOf = (page: number): Cache | undefined => caches.get(slabOf(kernel, page).cache);
  const locks = [...caches.keys()].map((at) => {
    return spinlock(kernel.pointer(at + kmem_cache.node) + kmem_cache_node.list_lock);
  });
  const guard: Guard = { what: "slabs", locks, functions: CHANGES_SLABS };
  for (const at of pages) {
    part(guard, () => {
      const { objects, inuse } = slabOf(kernel, at);
      const cache = ownerOf(at);
      if (cache === undefined) {
        throw new Inconsistency(`slab page ${hex(kernel.pfnOf(at))} belongs to no cache`);
      }
      if (inuse > objects) throw new Inconsistency(`${cache.name}: ${inuse} of ${objects} objects in use`);
      cache.slabs++;
      cache.objects += objects;
    });
  }
  const cpus = kernel.u32(kernel.symbol("nr_cpu_ids"));
  for (const cache of caches.values()) {
    for (let cpu = 0; cpu < cpus; cpu++) part(guard, () => checkCpu(kernel, found, cache, cpu));
    part(guard, () => checkNode(kernel, found, cache));
  }
  for (const at of pages) {
    const cache = ownerOf(at);
    if (cache !== undefined && !held.has(at)) part(guard, () => checkUnheld(kernel, cache, at));
  }
  return [...caches.values()];
}
