/**
 * Boot memory, the page allocator, SLUB, page tables, resources, idr and rbtree: the kernel's own code over a
 * small memory.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { bootMm, compileMm, type MapEntry, type MmMachine } from "./mm-machine.ts";

const KB = 1 << 10;
const MB = 1 << 20;
const PAGE = 4096;
const GFP_KERNEL = 0xcc0;
const GFP_ATOMIC = 0xa20;
const GFP_ZERO = 0x100;
const GFP_COMP = 0x40000;

type Module = Awaited<ReturnType<typeof compileMm>>;

const pcMap = (size: number): MapEntry[] => [
  { addr: 0, size: 640 * KB },
  { addr: MB, size: size - MB - 64 * KB },
  { addr: size - 64 * KB, size: 64 * KB, type: 2 },
];

let production: Module;
let capture: Module;

beforeAll(async () => {
  production = await compileMm("production");
  capture = await compileMm("capture");
}, 60_000);

const bootPc = (size: number, seed = 1, fill = 0xaa): Promise<MmMachine> =>
  bootMm(production, { size, image: MB, map: pcMap(size), seed, fill });

/** A small generator, so that a failure can be run again. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const freeAreas = (m: MmMachine): number[] =>
  [0, 1].flatMap((zone) => Array.from({ length: 11 }, (_, order) => m.call("free_area_count", zone, order)));

describe("boot", () => {
  it("prints the map, the zones and the memory line as Linux does", async () => {
    const { log } = await bootPc(64 * MB);
    expect(log).toContain("BIOS-e820: [mem 0x0000000000100000-0x0000000003feffff] usable");
    expect(log).toContain("e820: update [mem 0x00000000-0x00000fff] usable ==> reserved");
    expect(log).toContain("  DMA      [mem 0x0000000000001000-0x0000000000ffffff]");
    expect(log).toContain("  DMA32    [mem 0x0000000001000000-0x0000000003feffff]");
    expect(log).toContain("  Normal   empty");
    expect(log.find((line) => line.startsWith("Memory: "))).toMatch(/^Memory: \d+K\/65084K available \(/);
  });

  it.each([4, 8, 64, 256])("leaves a consistent page allocator at %i MiB", async (size) => {
    const m = await bootPc(size * MB);
    expect(m.call("check")).toBe(0);
    expect(m.call("nr_free")).toBeGreaterThan((size * 256 * 3) / 5);
    const free = freeAreas(m).reduce((sum, count, i) => sum + (count << (i % 11)), 0);
    expect(free).toBe(m.call("nr_free"));
  });

  it("is the same whatever memory held at power-on", async () => {
    const [a, b] = await Promise.all([bootPc(8 * MB, 1, 0), bootPc(8 * MB, 1, 0xff)]);
    expect(freeAreas(a)).toEqual(freeAreas(b));
    expect(a.call("alloc", GFP_KERNEL, 0)).toBe(b.call("alloc", GFP_KERNEL, 0));
  });

  it("resolves overlapping entries: the more restrictive type wins", async () => {
    const map = [
      { addr: 0, size: 640 * KB },
      { addr: MB, size: 7 * MB },
      { addr: 6 * MB, size: 64 * KB, type: 2 },
      { addr: 4 * MB, size: 4 * MB },
    ];
    const { log } = await bootMm(production, { size: 8 * MB, image: MB, map });
    expect(log.filter((line) => line.startsWith("BIOS-e820"))).toEqual([
      "BIOS-e820: [mem 0x0000000000000000-0x000000000009ffff] usable",
      "BIOS-e820: [mem 0x0000000000100000-0x00000000005fffff] usable",
      "BIOS-e820: [mem 0x0000000000600000-0x000000000060ffff] reserved",
      "BIOS-e820: [mem 0x0000000000610000-0x00000000007fffff] usable",
    ]);
  });

  it("fits into a region of 384 KiB high in memory and touches nothing else", async () => {
    const image = 61 * MB + 64 * KB;
    const m = await bootMm(capture, {
      size: 64 * MB,
      image,
      map: [{ addr: image, size: 384 * KB }],
      fill: 0x5a,
    });
    expect(m.call("check")).toBe(0);
    expect(m.call("nr_free")).toBeGreaterThan(40);
    for (let i = 0; i < 20; i++) m.call("kmalloc_", 1 << (i % 12));
    const outside = (from: number, to: number) =>
      m.bytes.subarray(from, to).findIndex((byte) => byte !== 0x5a);
    expect(outside(0, image)).toBe(-1);
    expect(outside(image + 384 * KB, 64 * MB)).toBe(-1);
    expect(m.call("walk", image, 0xffff8880)).toBe(image);
  });

  it("allocates in another order with another seed", async () => {
    const take = async (seed: number): Promise<number[]> => {
      const m = await bootPc(64 * MB, seed);
      return Array.from({ length: 8 }, () => m.call("alloc", GFP_KERNEL, 10));
    };
    const [a, again, b] = [await take(7), await take(7), await take(8)];
    expect(a).toEqual(again);
    expect(a).not.toEqual(b);
  });
});

describe("memblock", () => {
  it("finds from the top or from the bottom, aligned, within limits, and takes back", async () => {
    const m = await bootPc(16 * MB);
    const before = m.call("reserved_bytes");
    const [low, high] = [4 * MB, 12 * MB];
    const top = m.call("early_alloc", 3 * PAGE, 64 * KB, low, high, 0);
    expect(top).toBe(high - 64 * KB);
    expect(m.call("early_alloc", 3 * PAGE, PAGE, low, high, 0)).toBe(high - 3 * PAGE);
    const bottom = m.call("early_alloc", PAGE, PAGE, low, high, 1);
    expect(bottom).toBe(low);
    expect(m.call("early_alloc", PAGE, MB, low, high, 1)).toBe(low + MB);
    expect(m.call("early_alloc", 9 * MB, PAGE, low, high, 0)).toBe(0);
    expect(m.call("reserved_bytes")).toBe(before + 8 * PAGE);
    m.call("early_free", top, 3 * PAGE);
    expect(m.call("early_alloc", 3 * PAGE, 64 * KB, low, high, 0)).toBe(top);
  });
});

describe("page allocator", () => {
  it("keeps NR_FREE_PAGES and its lists through random use, and merges back to where it began", async () => {
    const m = await bootPc(16 * MB);
    // The first allocations settle which migrate type owns which block.
    const before = m.call("nr_free");
    const next = random(42);
    const held: { addr: number; order: number }[] = [];
    let pages = 0;
    for (let i = 0; i < 4000; i++) {
      if (next(100) < 52) {
        const order = next(10) < 7 ? next(3) : next(8);
        const gfp = (next(2) ? GFP_KERNEL : GFP_KERNEL | 0x8) | 0x2000;
        const addr = m.call("alloc", gfp, order);
        if (!addr) continue;
        expect(addr % (PAGE << order)).toBe(0);
        held.push({ addr, order });
        pages += 1 << order;
      } else if (held.length) {
        const [block] = held.splice(next(held.length), 1);
        m.call("free", block!.addr, block!.order);
        pages -= 1 << block!.order;
      }
      expect(m.call("nr_free")).toBe(before - pages);
      if (i % 100 === 0) expect(m.call("check")).toBe(0);
    }
    const ranges = held
      .map(({ addr, order }) => [addr, addr + (PAGE << order)])
      .sort((a, b) => a[0]! - b[0]!);
    expect(ranges.every(([start], i) => i === 0 || ranges[i - 1]![1]! <= start!)).toBe(true);
    for (const block of held) m.call("free", block.addr, block.order);
    expect(m.call("nr_free")).toBe(before);
    expect(m.call("check")).toBe(0);
  });

  it("keeps a reserve: GFP_KERNEL stops above it, GFP_ATOMIC goes further", async () => {
    const m = await bootPc(8 * MB);
    const drain = (gfp: number): number => {
      let n = 0;
      while (m.call("alloc", gfp | 0x2000, 0)) n++;
      return n;
    };
    expect(drain(GFP_KERNEL)).toBeGreaterThan(1000);
    expect(m.call("nr_free")).toBeGreaterThan(10);
    expect(drain(GFP_ATOMIC)).toBeGreaterThan(5);
    expect(m.call("check")).toBe(0);
  });

  it("clears with __GFP_ZERO, counts references, trims exact sizes", async () => {
    const m = await bootPc(8 * MB);
    const before = m.call("nr_free");
    const page = m.call("alloc", GFP_KERNEL | GFP_ZERO, 1);
    expect(m.bytes.subarray(page, page + 2 * PAGE).every((byte) => byte === 0)).toBe(true);
    m.call("free", page, 1);
    const compound = m.call("alloc", GFP_KERNEL | GFP_COMP, 3);
    m.call("hold", compound + 5 * PAGE);
    m.call("drop", compound + PAGE);
    expect(m.call("nr_free")).toBe(before - 8);
    m.call("drop", compound + 7 * PAGE);
    expect(m.call("nr_free")).toBe(before);
    const exact = m.call("exact", 5 * PAGE, GFP_KERNEL);
    expect(m.call("nr_free")).toBe(before - 5);
    m.call("exact_free", exact, 5 * PAGE);
    expect(m.call("nr_free")).toBe(before);
    expect(m.call("check")).toBe(0);
  });

  it("takes back what boot had reserved", async () => {
    const reserve = { addr: 5 * MB, size: MB };
    const m = await bootMm(production, { size: 8 * MB, image: MB, map: pcMap(8 * MB), reserve });
    const [free, total] = [m.call("nr_free"), m.call("total_ram")];
    expect(m.call("give_back", reserve.addr, reserve.addr + reserve.size)).toBe(256);
    expect(m.call("nr_free")).toBe(free + 256);
    expect(m.call("total_ram")).toBe(total + 256);
    expect(m.call("check")).toBe(0);
  });

  it("is not damaged by a page that is freed twice", async () => {
    const m = await bootPc(8 * MB);
    const page = m.call("alloc", GFP_KERNEL, 0);
    m.call("free", page, 0);
    m.call("free", page, 0);
    expect(m.call("check")).toBe(0);
  });
});

describe("SLUB", () => {
  it("gives out objects that do not overlap and frees every slab again", async () => {
    const m = await bootPc(16 * MB);
    const cache = m.call("cache_create", 200, 0);
    const before = m.call("nr_free");
    const next = random(7);
    const held: number[] = [];
    for (let i = 0; i < 5000; i++) {
      if (next(100) < 55 || !held.length) {
        const object = m.call("cache_alloc", cache);
        m.bytes.fill(held.length & 0xff, object, object + 200);
        held.push(object);
      } else m.call("cache_free", cache, held.splice(next(held.length), 1)[0]!);
    }
    const sorted = [...held].sort((a, b) => a - b);
    expect(sorted.every((object, i) => i === 0 || object - sorted[i - 1]! >= 200)).toBe(true);
    for (const object of held) m.call("cache_free", cache, object);
    m.call("cache_destroy", cache);
    expect(m.log.join("")).not.toContain("still has objects");
    expect(m.call("nr_free")).toBe(before);
    expect(m.call("check")).toBe(0);
  });

  it("chains the objects of a slab differently with another seed, each of them once", async () => {
    const take = async (seed: number): Promise<number[]> => {
      const m = await bootPc(8 * MB, seed);
      const cache = m.call("cache_create", 256, 0);
      return Array.from({ length: 32 }, () => m.call("cache_alloc", cache));
    };
    const [a, again, b] = [await take(1), await take(1), await take(2)];
    expect(a).toEqual(again);
    expect(a).not.toEqual(b);
    expect(new Set(a).size).toBe(32);
    expect([...a].sort((x, y) => x - y)).not.toEqual(a);
  });

  it("kmalloc serves each size from the cache that fits", async () => {
    const m = await bootPc(16 * MB);
    const sizes = [1, 8, 9, 64, 65, 96, 97, 128, 129, 192, 193, 1024, 4097, 8192, 8193, 100_000];
    const got = sizes.map((size) => m.call("ksize_", m.call("kmalloc_", size)));
    expect(got).toEqual([8, 8, 16, 64, 96, 96, 128, 128, 192, 192, 256, 1024, 8192, 8192, 16384, 131072]);
  });

  it("kmalloc and kfree conserve memory", async () => {
    const m = await bootPc(16 * MB);
    const next = random(3);
    const sizes = Array.from({ length: 400 }, () => next(20_000) + 1);
    const run = (): void => {
      const held = sizes.map((size) => m.call("kmalloc_", size));
      expect(new Set(held).size).toBe(sizes.length);
      for (const at of held) m.call("kfree_", at);
    };
    run();
    const settled = m.call("nr_free");
    run();
    expect(m.call("nr_free")).toBe(settled);
    expect(m.call("check")).toBe(0);
    const zero = m.call("kzalloc_", 500);
    expect(m.bytes.subarray(zero, zero + 500).every((byte) => byte === 0)).toBe(true);
  });
});

describe("page tables", () => {
  it("map image, direct map and memory map", async () => {
    const size = 130 * MB;
    const m = await bootPc(size);
    expect(m.call("walk", 0x80100abc, 0xffffffff)).toBe(0x100abc);
    for (const at of [0, 0x12345, 5 * MB + 3, size - 64 * KB - 1])
      expect(m.call("walk", at, 0xffff8880)).toBe(at);
    expect(m.call("walk", size - 64 * KB, 0xffff8880)).toBe(0);
    // struct page of frame 0, and of the last one, lie one after the other in memory.
    const first = m.call("walk", 0, 0xffffea00);
    const last = (size - 64 * KB) / PAGE - 1;
    expect(m.call("walk", last * 64, 0xffffea00)).toBe(first + last * 64);
    expect(m.call("walk", 0, 0)).toBe(0);
    // phys_base: the image's link address leads to where the image lies, by 4 KiB leaves when it must.
    const image = 3 * MB + 64 * KB;
    const moved = await bootMm(production, { size: 8 * MB, image, map: pcMap(8 * MB) });
    expect(moved.call("walk", 0x80100123, 0xffffffff)).toBe(image + 0x123);
    expect(moved.call("walk", 0x80107fff, 0xffffffff)).toBe(image + 0x7fff);
  });

  it("user pages: mapped, followed, unmapped, and all freed", async () => {
    const m = await bootPc(16 * MB);
    const before = m.call("nr_free");
    const pgd = m.call("new_pgd");
    for (const addr of [0x400000, 0x401000, 0xbfff0000, 0x10000000])
      expect(m.call("map", pgd, addr, 3)).toBe(0);
    expect(m.call("map", pgd, 0x500000, 1)).toBe(0);
    expect(m.call("follow", pgd, 0x400123, 1) % PAGE).toBe(0x123);
    expect(m.call("follow", pgd, 0x500000, 0)).not.toBe(0);
    expect(m.call("follow", pgd, 0x500000, 1)).toBe(0);
    expect(m.call("follow", pgd, 0x600000, 0)).toBe(0);
    m.call("unmap", pgd, 0x401000);
    expect(m.call("follow", pgd, 0x401000, 0)).toBe(0);
    m.call("drop_pgd", pgd);
    expect(m.call("nr_free")).toBe(before);
    expect(m.call("check")).toBe(0);
  });
});

describe("resources", () => {
  it("grow around what is inside them", async () => {
    const m = await bootPc(8 * MB);
    expect(m.call("insert", 5 * MB, 6 * MB - 1)).toBe(0);
    expect(m.call("insert", 5 * MB + 512 * KB, 6 * MB + 512 * KB) | 0).toBeLessThan(0);
    const lines: string[] = [];
    for (let r = m.call("first_resource"); r; r = m.call("following_resource", r)) {
      const end = m.view.getBigUint64(r + 8, true);
      lines.push(`${m.call("depth", r)} ${m.view.getBigUint64(r, true).toString(16)}-${end.toString(16)}`);
    }
    expect(lines.slice(0, 4)).toEqual(["0 0-fff", "0 1000-9ffff", "0 100000-7effff", "1 100000-100fff"]);
    expect(lines).toContain("1 500000-5fffff");
    expect(lines.at(-1)).toBe("0 7f0000-7fffff");
  });
});

describe("idr", () => {
  it("agrees with a map through random use", async () => {
    const m = await bootPc(16 * MB);
    const ids = m.call("new_idr");
    const model = new Map<number, number>();
    const next = random(11);
    const lowest = (from: number): number => {
      let id = from;
      while (model.has(id)) id++;
      return id;
    };
    const target = m.call("kmalloc_", 8192);
    for (let i = 0; i < 6000; i++) {
      if (next(100) < 60) {
        const start = next(8) ? 0 : next(5000);
        const ptr = target + next(1000) * 8;
        const id = m.call("id_alloc", ids, ptr, start, 0);
        expect(id).toBe(lowest(start));
        model.set(id, ptr);
      } else if (model.size) {
        const id = [...model.keys()][next(model.size)]!;
        expect(m.call("id_remove", ids, id)).toBe(model.get(id));
        model.delete(id);
      }
    }
    for (let id = 0; id < 6000; id++) expect(m.call("id_find", ids, id)).toBe(model.get(id) ?? 0);
    const walked: number[] = [];
    for (let id = m.call("id_next", ids, 0) | 0; id >= 0; id = m.call("id_next", ids, id + 1) | 0)
      walked.push(id);
    expect(walked).toEqual([...model.keys()].sort((a, b) => a - b));
  });

  it("cyclic allocation goes on behind the last ID and wraps", async () => {
    const m = await bootPc(8 * MB);
    const ids = m.call("new_idr");
    const ptr = m.call("kmalloc_", 8);
    const take = (): number => m.call("id_cyclic", ids, ptr, 1, 4) | 0;
    expect([take(), take(), take(), take()]).toEqual([1, 2, 3, -28]);
    m.call("id_remove", ids, 2);
    expect(take()).toBe(2);
  });
});

describe("rbtree", () => {
  it("stays sorted and balanced through random use", async () => {
    const m = await bootPc(16 * MB);
    const root = m.call("kzalloc_", 8);
    const next = random(5);
    const nodes: { at: number; key: number }[] = [];
    for (let i = 0; i < 3000; i++) {
      if (next(100) < 55 || !nodes.length) {
        const key = next(1000);
        nodes.push({ at: m.call("tree_insert", root, key), key });
      } else m.call("tree_erase", root, nodes.splice(next(nodes.length), 1)[0]!.at);
      if (i % 50 === 0) expect(m.call("tree_height", m.call("tree_root", root), 0)).not.toBe(0);
    }
    const keys: number[] = [];
    for (let at = m.call("tree_first", root); at; at = m.call("tree_next", at))
      keys.push(m.call("tree_key", at));
    expect(keys).toEqual(nodes.map(({ key }) => key).sort((a, b) => a - b));
  });
});

describe("strings", () => {
  it("numbers as Linux parses them", async () => {
    const m = await bootPc(8 * MB);
    const at = m.call("kmalloc_", 64);
    const put = (text: string): number => {
      m.bytes.set(new TextEncoder().encode(`${text}\0`), at);
      return at;
    };
    const int = (text: string, base = 0): number => {
      const error = m.call("strtoint", put(text), base, at + 32) | 0;
      return error || m.view.getInt32(at + 32, true);
    };
    expect(["12", "-5", "0x1f\n", "010", "+7"].map((text) => int(text))).toEqual([12, -5, 31, 8, 7]);
    expect(["", "x", "1x", "2147483648", "-2147483649"].map((text) => int(text))).toEqual([
      -22, -22, -22, -34, -34,
    ]);
    expect(int("-2147483648")).toBe(-2147483648);
    const size = (text: string): number => m.call("parse_size", put(text), at + 40);
    expect(size("64M")).toBe(64 * MB);
    expect(size("0x10k@")).toBe(16 * KB);
    expect(m.view.getBigUint64(at + 40, true)).toBe(0xffff888000000000n + BigInt(at + 5));
  });

  it("searches", async () => {
    const m = await bootPc(8 * MB);
    const a = m.call("kmalloc_", 64);
    m.bytes.set(new TextEncoder().encode("crashkernel=1M crash\0crash\0"), a);
    expect(m.call("find_text", a, a + 21)).toBe(a);
    expect(m.call("find_text", a + 1, a + 21)).toBe(a + 15);
    expect(m.call("last_char", a, "h".charCodeAt(0))).toBe(a + 19);
    expect(m.call("compare", a + 15, a + 21)).toBe(0);
    expect(m.call("compare", a, a + 21)).not.toBe(0);
  });
});
