/** makedumpfile --explain: what it says of a page is what becomes of the page. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import type { KernelDump } from "../../tools/dump/memory-source.ts";
import { openDump } from "../../tools/dump/open.ts";
import { explain } from "../../tools/makedumpfile/explain.ts";
import { type Excluded, excludePages } from "../../tools/makedumpfile/filter.ts";
import { type BootDump, bootDump, wkdump } from "../support/boot.ts";
import { mockKernel } from "../support/log.ts";

let booted: BootDump;
let dump: KernelDump;
/** The first block of each rule at level 31. */
const first = new Map<keyof Excluded, { pfn: number; pages: number }>();

const open = (path: string) => openDump([new MemoryBytes(path, readFileSync(path))]);
const filtered = async (level: number): Promise<KernelDump> => {
  const path = join(booted.directory, `level${level}`);
  expect(wkdump(["makedumpfile", "-d", String(level), booted.vmcore, path]).status).toBe(0);
  return open(path);
};

beforeAll(async () => {
  const flags = ["--memory", "16M", "--append", "crashkernel=1M", "--seed", "6", "--fill", "30%"];
  booted = bootDump([...flags, "--pages", "hugepages=1,hwpoison=3,offline=4"]);
  dump = await open(booted.vmcore);
  const { exist, dumped } = await dump.pages();
  await excludePages(dump, 31, exist, dumped, (rule, pfn, pages) => {
    const known = first.get(rule);
    if (known === undefined || known.pages < pages) first.set(rule, { pfn, pages });
  });
});
afterAll(() => booted?.remove());

describe("makedumpfile --explain", () => {
  it.each([0, 1, 12, 31])("at level %i says of each page what became of it", async (level) => {
    const made = await filtered(level);
    const pfns = Array.from({ length: 100 }, (_, n) => (n * 41) % 4096);
    const paragraphs = (await explain(dump, level, pfns.map(BigInt))).split("\n\n");
    expect(paragraphs.length).toBe(pfns.length);
    for (const [n, pfn] of pfns.entries()) {
      const [title, verdict] = paragraphs[n]!.split("\n");
      expect(title).toBe(
        `page 0x${pfn.toString(16)}, physical address 0x${(pfn * 4096).toString(16)}, dump level ${level}`,
      );
      const found = {
        present: /^ {2}kept: /,
        zero: /^ {2}left out: a page of zeros \(1\)$/,
        excluded: /^ {2}left out: (?!a page of zeros)/,
        missing: /^ {2}in no dump: /,
        lost: /never/,
      }[await made.pageState(pfn)];
      expect(verdict).toMatch(found);
    }
  });

  it("names the rule and its bit, and shows the block's first page", async () => {
    const words = {
      cache: "page cache (2)",
      cachePrivate: "page cache with private data (4)",
      user: "a process's page (8)",
      free: "a free page (16)",
      hwpoison: "poisoned by the hardware (at every level)",
      offline: "logically offline (at every level)",
    };
    for (const [rule, text] of Object.entries(words)) {
      const { pfn, pages } = first.get(rule as keyof Excluded)!;
      const inside = pfn + Math.floor(pages / 2);
      const said = await explain(dump, 31, [BigInt(inside)]);
      expect(said).toContain(`\n  left out: ${text}`);
      expect(said.match(/^ {2}struct page 0xffffea/gm)).toHaveLength(pages === 1 ? 1 : 2);
      if (pages > 1) {
        const last = pfn + pages - 1;
        const block = `block of pages 0x${pfn.toString(16)}..0x${last.toString(16)}`;
        expect(said).toContain(`${text}, in the ${block}, which goes with its first page\n`);
        expect(await explain(dump, 31, [BigInt(pfn)])).toContain(", which it begins\n");
      }
    }
    const free = first.get("free")!;
    const said = await explain(dump, 31, [BigInt(free.pfn)]);
    expect(said).toContain("    _mapcount     -129                PAGE_BUDDY_MAPCOUNT_VALUE\n");
    expect(said).toContain(`    private       0x${Math.log2(free.pages).toString(16)}`);
    expect(await explain(dump, 4, [BigInt(first.get("cache")!.pfn)])).toContain("page cache (4)\n");
    const huge = await explain(dump, 8, [BigInt(first.get("user")!.pfn)]);
    expect(huge).toMatch(/flags +0x[0-9a-f]{16} {2}.*head/);
    expect(huge).toMatch(/order +9 .*compound_dtor +2 +HUGETLB_PAGE_DTOR/s);
  });

  it("of a page that is kept, says which level would take it", async () => {
    const { pfn } = first.get("cachePrivate")!;
    expect(await explain(dump, 1, [BigInt(pfn)])).toContain(
      "  kept: level 1 has no rule that takes it; another has: page cache with private data (4)\n",
    );
  });

  it("of a dump that was filtered before, names what the struct page still tells", async () => {
    const { pfn } = first.get("cachePrivate")!;
    expect(await explain(await filtered(4), 4, [BigInt(pfn)])).toContain(
      "  not in this file: the filter that made it left it out already: page cache with private data (4)\n",
    );
  });

  it("takes the address of a kernel's page, and several pages at once", () => {
    const args = ["--explain", "0xffff888000100000", "--explain", "16", "-d", "31", booted.vmcore];
    const { status, stdout } = wkdump(["makedumpfile", ...args]);
    expect([status, stdout.match(/^page .*$/gm)]).toEqual([
      0,
      [
        "page 0x100, physical address 0x100000, dump level 31",
        "page 0x10, physical address 0x10000, dump level 31",
      ],
    ]);
  });

  it("passes over a flag whose number is none of a word's bits", async () => {
    const bytes = new Uint8Array(readFileSync(booted.vmcore));
    const [line, damaged] = ["NUMBER(PG_private)=13", `NUMBER(PG_private)=${"9".repeat(20)}`];
    const text = Buffer.from(bytes.buffer);
    const at = text.indexOf(line);
    // The next lines are lost to it: they are flags, too.
    text.write(`${damaged}\n`, at, "latin1");
    const copy = await openDump([new MemoryBytes("damaged", bytes)]);
    expect(copy.vmcoreinfo.value("NUMBER(PG_private)")).toMatch(/^9{20}$/);
    expect(await explain(copy, 0, [256n])).toMatch(/^ {4}flags /m);
  });

  it("at levels that need no struct page does without", async () => {
    const core = await openDump([new MemoryBytes("core", mockKernel().build())]);
    const said = await explain(core, 0, [0x54n]);
    expect(said).toContain("  no struct page can be found: Can't distinguish the memory type.\n");
  });
});
