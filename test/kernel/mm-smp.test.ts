/**
 * The allocators' locks: four CPUs, each an instance of the kernel's code in a thread of its own over one
 * memory, allocate and free, also each other's objects; interrupts do so in between. One runs at a time, and
 * before any access to memory another may go on, as a seed decides. Every object and page carries its own
 * number while it is used; at the end all is counted.
 */
import { Worker } from "node:worker_threads";
import { beforeAll, describe, expect, it } from "vitest";
import { collectStrings } from "../support/strings.ts";
import { allocated, checkAtRest, inspect, slabPages } from "./mm-check.ts";
import { interleaved } from "./mm-interleave.ts";
import { bootMm, compileMm } from "./mm-machine.ts";

const KB = 1 << 10;
const MB = 1 << 20;
const CPUS = 4;
const STEPS = 5800;
const SIZES = [256, 1024, 5000];
/** Places by which objects go from one CPU to another: {number and kind, address} as one word. */
const MAILBOXES = 16;
/** One access of so many is where the CPU changes, more often where CPUs free objects of the same slab. */
const SWITCH = 40;
const SWITCH_IN_FREE = 10;
/** One of so many is where an interrupt comes. */
const INTERRUPT = 400;

/** What a CPU runs; JavaScript, since a worker's source is not transformed. */
const CPU = `
const { parentPort, workerData } = require("node:worker_threads");
const { cpu, cpus, seed, module, memory, link, strings, base, phys_base, caches, sizes, shared } = workerData;
const words = new Int32Array(memory.buffer);
const go = new Int32Array(shared, 0, cpus);
const alive = new Int32Array(shared, 4 * cpus, cpus);
const ticket = new Int32Array(shared, 8 * cpus, 2);
const mailboxes = new BigInt64Array(shared, 8 * cpus + 8);
let random = seed;
const draw = (below) => {
  random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
  return Math.floor((random / 2 ** 32) * below);
};
const wait = () => {
  while (Atomics.load(go, cpu) === 0) Atomics.wait(go, cpu, 0);
  Atomics.store(go, cpu, 0);
};
/** Another CPU goes on; false when there is none. */
const hand_over = () => {
  const others = [...alive.keys()].filter((i) => i !== cpu && alive[i]);
  if (others.length === 0) return false;
  const next = others[draw(others.length)];
  Atomics.store(go, next, 1);
  Atomics.notify(go, next);
  return true;
};
let waited = 0;
const pause = () => {
  if (++waited > 100000 || !hand_over()) throw new Error("deadlock");
  wait();
};
let in_interrupt = false;
let running = false;
let freeing = false;
const turn = () => {
  if (!running) return;
  if (draw(freeing ? workerData.SWITCH_IN_FREE : workerData.SWITCH) === 0 && hand_over()) wait();
  if (!in_interrupt && draw(workerData.INTERRUPT) === 0) {
    in_interrupt = true;
    if (kernel.interrupts()) change(0x2a20);
    in_interrupt = false;
  }
};
const links = Object.fromEntries(Object.entries(link).map(([name, value]) => [name, () => value]));
let state = seed ^ 0x5bd1e995;
const { exports: kernel } = new WebAssembly.Instance(module, {
  env: { memory, __base: base, __phys_base: phys_base, abort: () => {} },
  link: { ...links, get_cpu: () => cpu },
  string: strings,
  hw: {
    pause,
    page_fault: (lo, hi) => {
      throw new Error("page fault at " + (hi >>> 0).toString(16) + (lo >>> 0).toString(16).padStart(8, "0"));
    },
    write_cr3: () => {},
    rdrand: () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0),
  },
  test: {
    turn,
    print: () => { throw new Error("the kernel has something to say"); },
    panic: () => { throw new Error("panic"); },
  },
});
const PAGES = caches.length;
const lengthOf = (kind) => (kind < PAGES ? sizes[kind] : 4096 << (kind - PAGES));
/** The words that carry an object's number: its ends, and some between. */
const places = (at, kind) => {
  const list = [];
  const end = at + lengthOf(kind);
  for (let i = at; i < end; i += 512) list.push(i >>> 2);
  list.push((end - 4) >>> 2);
  return list;
};
const check = (at, kind, number) => {
  for (const i of places(at, kind)) {
    if (words[i] === number) continue;
    throw new Error("kind " + kind + " at " + at + ": " + words[i] + ", not " + number);
  }
};
const free = ({ at, kind, number }) => {
  check(at, kind, number);
  freeing = kind < PAGES;
  if (freeing) kernel.cache_free(caches[kind], at);
  else kernel.free(at, kind - PAGES);
  freeing = false;
};
const held = [];
let grows = true;
/** One allocation or one free. */
const change = (gfp) => {
  if (draw(100) < (grows ? 62 : 35) || held.length === 0) {
    const kind = draw(PAGES + 3);
    const at = kind < PAGES ? kernel.cache_alloc(caches[kind]) : kernel.alloc(gfp | draw(2), kind - PAGES);
    if (at === 0) throw new Error("no memory");
    const number = Atomics.add(ticket, 0, 1) + 1;
    for (const i of places(at >>> 0, kind)) words[i] = number;
    held.push({ at: at >>> 0, kind, number });
    return;
  }
  const i = draw(held.length);
  const mine = held[i];
  held[i] = held[held.length - 1];
  held.pop();
  if (draw(2) === 0) return free(mine);
  // Given away; what was in the box is freed here, wherever it came from.
  const letter = (BigInt(mine.number * 16 + mine.kind) << 32n) | BigInt(mine.at);
  const got = Atomics.exchange(mailboxes, draw(mailboxes.length), letter);
  if (got === 0n) return;
  const high = Number(got >> 32n);
  free({ at: Number(got & 0xffffffffn), kind: high & 15, number: high >>> 4 });
};
/** Per-CPU memory and a cache of one's own, from beginning to end. */
const short_life = () => {
  const percpu = Array.from({ length: 4 }, () => kernel.percpu_alloc(8 + draw(64), 8) >>> 0);
  if (percpu.includes(0) || new Set(percpu).size < 4) throw new Error("per-CPU memory: " + percpu);
  const mine = percpu.flatMap((at) => Array.from({ length: cpus }, (_, i) => kernel.percpu_at(at, i) >>> 2));
  for (const i of mine) words[i] = -1 - cpu;
  const cache = kernel.cache_create(64 + draw(400), 0) >>> 0;
  const objects = Array.from({ length: draw(60) }, () => kernel.cache_alloc(cache) >>> 0);
  for (const at of objects) kernel.cache_free(cache, at);
  kernel.cache_destroy(cache);
  if (mine.some((i) => words[i] !== -1 - cpu)) throw new Error("per-CPU memory was given out twice");
  for (const at of percpu) kernel.percpu_free(at);
};
let answer;
wait();
try {
  kernel.start_cpu();
  running = true;
  for (let step = 0; step < workerData.STEPS; step++) {
    waited = 0;
    grows = (step >>> 8) % 2 === 0;
    if (step % 50 === 0) short_life();
    else change(0x2cc0);
  }
  running = false;
  for (const { at, kind, number } of held) check(at, kind, number);
  answer = { held };
} catch (error) {
  running = false;
  answer = { held, error: "CPU " + cpu + ": " + error.stack };
}
alive[cpu] = 0;
hand_over();
parentPort.postMessage(answer);
`;

interface Held {
  at: number;
  kind: number;
  number: number;
}

interface Result {
  held: Held[];
  error?: string;
}

function runCpu(workerData: Record<string, unknown>): Promise<Result> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(CPU, { eval: true, workerData });
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

let production: Awaited<ReturnType<typeof compileMm>>;
let module: WebAssembly.Module;

beforeAll(async () => {
  production = await compileMm("production");
  module = await WebAssembly.compile(interleaved(production.wasm) as Uint8Array<ArrayBuffer>);
}, 120_000);

describe.each([1, 2])("four CPUs that change before any access, seed %i", (seed) => {
  it("share SLUB, the page allocator and the per-CPU allocator", async () => {
    const size = 64 * MB;
    const map = [
      { addr: 0, size: 640 * KB },
      { addr: MB, size: size - MB - 64 * KB },
      { addr: size - 64 * KB, size: 64 * KB, type: 2 },
    ];
    const m = await bootMm(production, { size, image: MB, map, seed, cpus: CPUS });
    const { memory, link, phys_base } = m.instance;
    const caches = SIZES.map((objects) => m.call("cache_create", objects, 0));
    const kernel = inspect(m);
    /** Pages that are free or of slabs; both as the kernel counts them. */
    const pages = (): number => m.call("nr_free") + slabPages(kernel);
    const before = pages();
    const shared = new SharedArrayBuffer(8 * CPUS + 8 + MAILBOXES * 8);
    new Int32Array(shared, 4 * CPUS, CPUS).fill(1);
    const strings = collectStrings(module).imports(m.base);
    const image = { module, memory, link, strings, base: m.base, phys_base };
    const common = {
      ...image,
      cpus: CPUS,
      caches,
      sizes: SIZES,
      shared,
      STEPS,
      SWITCH,
      SWITCH_IN_FREE,
      INTERRUPT,
    };
    const all = Array.from({ length: CPUS }, (_, cpu) => runCpu({ ...common, cpu, seed: seed * 100 + cpu }));
    const go = new Int32Array(shared, 0, CPUS);
    Atomics.store(go, 0, 1);
    Atomics.notify(go, 0);
    const results = await Promise.all(all);
    expect(results.flatMap(({ error }) => error ?? [])).toEqual([]);
    const held = results.flatMap((result) => result.held);
    for (const letter of new BigInt64Array(shared, 8 * CPUS + 8)) {
      const high = Number(letter >> 32n);
      if (letter) held.push({ at: Number(letter & 0xffffffffn), kind: high & 15, number: high >>> 4 });
    }
    expect(held.length).toBeGreaterThan(100);
    expect(new Set(held.map(({ number }) => number)).size).toBe(held.length);
    const order = (kind: number): number => kind - SIZES.length;
    const used = held.reduce((sum, { kind }) => sum + (order(kind) < 0 ? 0 : 1 << order(kind)), 0);
    expect(pages()).toBe(before - used);
    const found = checkAtRest(m, kernel, CPUS);
    for (const [kind, cache] of caches.entries()) {
      expect(allocated(found.get(cache)!)).toBe(held.filter((object) => object.kind === kind).length);
    }
    for (const { at, kind } of held) {
      m.set_cpu(at % CPUS);
      if (order(kind) < 0) m.call("cache_free", caches[kind] as number, at);
      else m.call("free", at, order(kind));
    }
    for (const cache of caches) m.call("cache_destroy", cache);
    const left = checkAtRest(m, kernel, CPUS);
    expect(caches.some((cache) => left.has(cache))).toBe(false);
    expect(pages()).toBe(before);
  }, 120_000);
});
