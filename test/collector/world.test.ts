/** What the functions of the world give, held against the dump itself. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AddressSpace } from "../../tools/dump/address-space.ts";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import { type Codec, loadCodecs } from "../../tools/dump/codecs.ts";
import type { KernelDump } from "../../tools/dump/memory-source.ts";
import { openDump } from "../../tools/dump/open.ts";
import { excludePages } from "../../tools/makedumpfile/filter.ts";
import { type BootDump, bootDump } from "../support/boot.ts";
import { component } from "./components.ts";
import { ENGINES, type Engine, wkdump } from "./engines.ts";

let directory: string;
let boot: BootDump;
let dump: KernelDump;

beforeAll(async () => {
  boot = bootDump(["--memory", "16M", "--seed", "6", "--fill", "40%", "--pages", "hwpoison=2,offline=9"]);
  directory = mkdtempSync(join(tmpdir(), "wkdump-world-"));
  copyFileSync(boot.vmcore, join(directory, "vmcore"));
  dump = await openDump([new MemoryBytes("vmcore", readFileSync(boot.vmcore))]);
});
afterAll(() => {
  boot?.remove();
  rmSync(directory, { recursive: true, force: true });
});

const WRITE = `(call $write (i64.const 0) (i32.load (i32.const 260)) (i32.load (i32.const 264))
  (i32.const 512))`;

/** The file that a component makes which asks, and writes the list that it gets. */
async function answer(engine: Engine, ask: string, write = WRITE, data = ""): Promise<Buffer> {
  const body = `${ask} (if (i32.load8_u (i32.const 256)) (then (unreachable))) ${write} (call $ok)`;
  writeFileSync(join(directory, "c.wasm"), await component(body, data, "64"));
  const args = ["collect", "--quiet", "--force", "--collector", "c.wasm", "vmcore", "out"];
  const { status, output } = wkdump(engine, directory, args);
  expect([status, output]).toEqual([0, "done\n"]);
  return readFileSync(join(directory, "out"));
}

const equal = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0;

describe("the world", () => {
  it.each(ENGINES)("reads memory by physical and virtual addresses, on %s", async (engine) => {
    const at = 0x200000 + 123;
    const physical = `(call $read (i64.const ${at}) (i32.const 1048576) (i32.const 256))`;
    expect(equal(await answer(engine, physical), await dump.read(at, 1048576))).toBe(true);
    const name = dump.vmcoreinfo.symbol("init_uts_ns");
    const virtual = `(call $read_virtual (i64.const 0x${name.toString(16)}) (i32.const 390) (i32.const 256))`;
    expect(equal(await answer(engine, virtual), await new AddressSpace(dump).read(name, 390))).toBe(true);
    const image = await answer(engine, virtual);
    expect(image.toString("latin1")).toContain("Linux");
  });

  it("reads pages in the order that they are asked for", async () => {
    const pfns = [1000, 1001, 1002, 300, 299, 2000];
    const data = pfns.map((pfn, n) => `(i64.store (i32.const ${2048 + n * 8}) (i64.const ${pfn}))`).join(" ");
    const ask = `${data} (call $read_pages (i32.const 2048) (i32.const ${pfns.length}) (i32.const 256))`;
    const pages = await Promise.all(pfns.map((pfn) => dump.read(pfn * 4096, 4096)));
    expect(equal(await answer("bun", ask), Buffer.concat(pages))).toBe(true);
  });

  it.each([0, 2, 31])("tells what dump level %i makes of each page", async (level) => {
    const { exist, dumped } = await dump.pages();
    const wanted = new Uint8Array(exist.pages + 10);
    for (let pfn = 0; pfn < exist.pages; pfn++) wanted[pfn] = exist.has(pfn) ? 1 : 0;
    const numbers = { cache: 4, cachePrivate: 5, user: 6, free: 7, hwpoison: 8, offline: 9 };
    await excludePages(dump, level, exist, dumped, (rule, pfn, pages) => {
      for (let n = pfn; n < pfn + pages; n++) if (exist.has(n)) wanted[n] = numbers[rule];
    });
    for (const [first, count] of [
      [0, wanted.length],
      [777, 1000],
    ] as const) {
      const ask = `(call $states (i32.const ${level})
        (i64.const ${first}) (i32.const ${count}) (i32.const 256))`;
      expect(equal(await answer("bun", ask), wanted.subarray(first, first + count))).toBe(true);
    }
    const found = new Set(wanted);
    for (const rule of level === 31 ? [0, 1, 4, 5, 6, 7, 8, 9] : [0, 1, 8, 9]) {
      expect([rule, found.has(rule)]).toEqual([rule, true]);
    }
  });

  it("has one dump level in a run", async () => {
    const twice = `(call $states (i32.const 0) (i64.const 0) (i32.const 1) (i32.const 256))
      (call $states (i32.const 1) (i64.const 0) (i32.const 1) (i32.const 256)) (call $pass)`;
    writeFileSync(join(directory, "c.wasm"), await component(twice));
    const args = ["collect", "--quiet", "--force", "--collector", "c.wasm", "vmcore", "out"];
    expect(wkdump("bun", directory, args).stderr).toMatch(/: a second dump level in one run\n$/);
  });

  it.each([["zlib"], ["lzo"], ["snappy"], ["zstd"]] as const)("compresses pages by %s", async (codec) => {
    const number = ["zlib", "lzo", "snappy", "zstd"].indexOf(codec);
    // A page of "done" and zeros, then one that nothing makes smaller.
    const data = [...Array(4096).keys()].map(
      (n) => `(i32.store8 (i32.const ${12288 + n})
      (i32.const ${(Math.imul(n + 7, 0x9e3779b1) >>> 13) ^ (Math.imul(n, n) >>> 3)}))`,
    );
    const ask = `(memory.copy (i32.const 8192) (i32.const 1024) (i32.const 4)) ${data.join("")}
      (call $compress (i32.const ${number})
        (i32.const 8192) (i32.const 8192) (i32.const 4096) (i32.const 256))`;
    const write = `
      (call $write (i64.const 0) (i32.load (i32.const 260)) (i32.const 8) (i32.const 512))
      (call $write (i64.const 8) (i32.load (i32.const 268)) (i32.load (i32.const 272)) (i32.const 512))`;
    const out = await answer("bun", ask, write);
    const [first = 0, second = 0] = [out.readUInt32LE(0), out.readUInt32LE(4)];
    expect([first < 1000, second, out.length]).toEqual([true, 4096, 8 + first + 4096]);
    const page = (await loadCodecs()).decompress(codec as Codec, out.subarray(8, 8 + first), 4096)!;
    expect(Buffer.from(page.subarray(0, 5)).toString("latin1")).toBe("done\0");
    expect(page.subarray(5).every((byte) => byte === 0)).toBe(true);
  });
});
