/** Stock crash on memory: pages, slabs, zones, addresses, and what lies where. */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { expect } from "vitest";
import { SystemMap } from "../../../tools/crashed/system-map.ts";
import type { Truth } from "../../../tools/fixtures/types.ts";
import { built } from "../../support/boot.ts";
import { run } from "../../support/stock.ts";
import type { Feature, OracleDump } from "../features.ts";
import { DUMPS } from "../table.ts";
import { said } from "./said.ts";

const CHUNK = 1 << 20;
const KERNEL_MAP = 0xffffffff80000000n;

const everywhere = (name: string, body: Feature["body"]): Feature => ({ name, kinds: DUMPS, body });

/** Numbers after names, as `kmem -i`, `-z` and `-V` have them. */
function counters(text: string, form: RegExp): Map<string, number> {
  return new Map([...text.matchAll(form)].map(([, name, value]) => [name!.trim(), Number(value)]));
}

/** Calls `each` with pieces of the memory that an ELF dump holds, in order. */
function eachPiece(dump: OracleDump, each: (physical: number, bytes: Buffer) => void): void {
  const { stdout } = run("readelf", ["-lW", dump.vmcore]);
  const loads = [...stdout.matchAll(/^ +LOAD +(0x\w+) 0x\w+ (0x\w+) (0x\w+)/gm)].map((it) =>
    it.slice(1).map(Number),
  );
  const fd = openSync(dump.vmcore, "r");
  try {
    for (const [offset, physical, size] of loads as [number, number, number][]) {
      for (let at = 0; at < size; at += CHUNK) {
        const bytes = Buffer.alloc(Math.min(CHUNK, size - at));
        readSync(fd, bytes, 0, bytes.length, offset + at);
        each(physical + at, bytes);
      }
    }
  } finally {
    closeSync(fd);
  }
}

/** Where a word stands in a dump's memory. */
function placesOf(dump: OracleDump, word: bigint): string[] {
  const wanted = Buffer.alloc(8);
  wanted.writeBigUInt64LE(word);
  const places: string[] = [];
  eachPiece(dump, (physical, bytes) => {
    for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + 1)) {
      if (at % 8 === 0) places.push((physical + at).toString(16));
    }
  });
  return places;
}

const sum = (values: readonly number[]): number => values.reduce((total, it) => total + it, 0);
const slabPages = ({ slabs }: Truth): number => sum(slabs.map((it) => it.slabs));

export const memory: Feature[] = [
  everywhere("`kmem -f`: the free pages, block by block", (dump) => {
    expect(said(dump, "kmem -f")).toContain(`nr_free_pages: ${dump.truth.pages.free}  (verified)`);
    const blocks = dump.truth.pages.free_blocks.map(() => 0);
    const form = /^ *(\d+) +(\d+)k +(\w{16}) +(\d+) +\d+$/gm;
    for (const [, order, , , count] of said(dump, "kmem -f").matchAll(form)) {
      blocks[Number(order)]! += Number(count);
    }
    expect(blocks).toEqual(dump.truth.pages.free_blocks);
  }),

  everywhere("`kmem -s`: the objects of each cache", (dump) => {
    const line = /^\w{16} +(\d+) +(\d+) +(\d+) +(\d+) +\d+k +(\S.*)$/gm;
    const caches = [...said(dump, "kmem -s").matchAll(line)].map(([, ...it]) => [
      ...it.slice(0, 4).map(Number),
      it[4],
    ]);
    const wanted = dump.truth.slabs.map(({ name, object_size, active, objects, slabs }) => [
      ...[object_size, active, objects, slabs],
      name,
    ]);
    expect(caches).toEqual(wanted);
  }),

  everywhere("`kmem -S`: each free object of each CPU's and the node's slabs", (dump) => {
    for (const { name, active, objects } of dump.truth.slabs) {
      const text = said(dump, `kmem -S ${name}`);
      expect(text, name).not.toMatch(/invalid|cannot|corrupt|duplicate|mismatch|error|bad |freelist .*\?/i);
      expect([...text.matchAll(/^ {3}[0-9a-f]{16}/gm)].length, name).toBe(objects - active);
      const cpus = [...text.matchAll(/^CPU (\d+) KMEM_CACHE_CPU:$/gm)].map(([, cpu]) => Number(cpu));
      expect(cpus, name).toEqual(dump.truth.cpus.map(({ cpu }) => cpu));
    }
  }),

  everywhere("`kmem -i`, `-V`, `-z`, `-h`: the kernel's counters", (dump) => {
    const { pages } = dump.truth;
    const told = counters(said(dump, "kmem -i"), /^ +([A-Z][A-Z ]+?) +(\d+) +/gm);
    const huge = Math.min(...pages.levels.map(() => told.get("TOTAL HUGE")!));
    expect(told.get("FREE")).toBe(pages.free);
    expect(told.get("USED")).toBe(told.get("TOTAL MEM")! - pages.free);
    expect(told.get("BUFFERS")).toBe(pages.cache_private);
    expect(told.get("CACHED")).toBe(pages.cache);
    expect(told.get("SLAB")).toBe(slabPages(dump.truth));
    const all = counters(said(dump, "kmem -V"), /^ *(NR_\w+): (\d+)$/gm);
    expect(all.get("NR_FREE_PAGES")).toBe(pages.free);
    expect(all.get("NR_FILE_PAGES")).toBe(pages.cache + pages.cache_private);
    expect(all.get("NR_ANON_MAPPED")! + huge).toBe(pages.user);
    const zones = said(dump, "kmem -z").matchAll(/^ *NR_FREE_PAGES: (\d+)$/gm);
    expect(sum([...zones].map(([, free]) => Number(free)))).toBe(pages.free);
    const pool = /^\w+ +2MB +(\d+) +(\d+) /m.exec(said(dump, "kmem -h"));
    expect(Number(pool?.[2] ?? 0) * 512).toBe(huge);
  }),

  everywhere("`rd`, `vtop`, `p`, `sym`, `dis`: what lies where", (dump) => {
    const banner = /Linux version .*/.exec(dump.dmesg)![0];
    const text = [...said(dump, "rd linux_banner 8").matchAll(/ {3}(.{16})$/gm)].map(([, it]) => it).join("");
    expect(text).toBe(banner.slice(0, 64));
    let image: Buffer | undefined;
    eachPiece(dump.whole, (physical, bytes) => {
      if (physical === 0x100000) image = bytes;
    });
    const words = [...said(dump, "rd -p 100000 512").matchAll(/\b([0-9a-f]{16})\b(?!:)/g)].map(
      ([, it]) => it,
    );
    expect(words).toEqual(Array.from({ length: 512 }, (_, i) => word(image!, i)));
    expect(said(dump, "vtop 0xffffffff80100000")).toMatch(/^ffffffff80100000 +100000 *$/m);
    expect(said(dump, "vtop 0xffff888000424780")).toMatch(/^ffff888000424780 +424780 *$/m);
    const panic = /^\w+/.exec(said(dump, "sym panic"))![0];
    expect(said(dump, "dis panic 3")).toMatch(new RegExp(`^0x${panic} <panic>:\\s+push +%rbp$`, "m"));
    expect(said(dump, "whatis panic")).toMatch(/^void panic\(unsigned int, /);
    const module = said(dump, "vtop 0xffffffffa0000000");
    expect(module).toMatch(
      dump.truth.modules.length === 0 ? /\(not mapped\)/ : /\(PRESENT\|ACCESSED\|GLOBAL\)/,
    );
  }),

  everywhere("`search`: each pointer to `init_task`", (dump) => {
    const symbols = SystemMap.parse(readFileSync(built("System.map")));
    const address = BigInt(symbols.physical("init_task")) + KERNEL_MAP;
    const found = [...said(dump, "search -p init_task").matchAll(/^(\w+): (\w{16})/gm)];
    expect(found.every(([, , value]) => BigInt(`0x${value}`) === address)).toBe(true);
    const places = found.map(([, at]) => at as string);
    const all = placesOf(dump.whole, address);
    expect(all.length).toBeGreaterThan(5);
    if (dump.kind !== "-d 31") expect(places).toEqual(all);
    // What lies in a free page is dropped.
    else expect(places.every((at) => all.includes(at))).toBe(true);
  }),
];

const word = (bytes: Buffer, index: number): string =>
  bytes
    .readBigUInt64LE(index * 8)
    .toString(16)
    .padStart(16, "0");
