/**
 * The programs' pages in a dump, by drgn: every entry of every task's page tables against the pages' counts.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BootDump, bootDump } from "../support/boot.ts";
import { describeStock } from "../support/stock.ts";
import { drgn } from "./debuggers.ts";
import { mappedDump } from "./mapped.ts";

const SCRIPT = `
MASK = 0x000ffffffffff000
def words(table):
    data = prog.read(table, 4096, physical=True)
    return [int.from_bytes(data[i:i + 8], 'little') for i in range(0, 4096, 8)]
def leaves(table, level, base):
    for i, entry in enumerate(words(table)[:256 if level == 3 else 512]):
        if entry & 1:
            at = base + (i << (12 + 9 * level))
            if level: yield from leaves(entry & MASK, level - 1, at)
            else: yield at, entry
mms = {}
for t in for_each_task(prog):
    if t.mm: mms[t.mm.value_()] = t.mm
vmemmap = 0xffffea0000000000
entries, sums = {}, []
for mm in mms.values():
    anon = files = 0
    root = mm.pgd.value_() - 0xffff888000000000
    for at, entry in leaves(root, 3, 0):
        page = Object(prog, 'struct page', address=vmemmap + ((entry & MASK) >> 12) * 64)
        own = bool(page.mapping.value_() & 1)
        anon, files = anon + own, files + (not own)
        entries.setdefault(entry & MASK, []).append((page, bool(entry & 2), own))
        assert prog.read(at and (entry & MASK), 16, physical=True) == access_remote_vm(mm, at, 16)
    rss = mm.rss_stat.count
    sums.append([anon, rss[1].counter.value_(), files, rss[0].counter.value_() + rss[3].counter.value_()])
pages = []
for maps in entries.values():
    page, _, own = maps[0]
    pages.append([len(maps), page._mapcount.counter.value_() + 1, page._refcount.counter.value_(),
                  sum(w for _, w, _ in maps), own])
    if own:
        av = Object(prog, 'struct anon_vma *', value=page.mapping.value_() - 1)
        assert av.refcount.counter >= 1 and av.root.refcount.counter >= 1
stat = prog['vm_node_stat']
names = ['NR_ANON_MAPPED', 'NR_FILE_MAPPED']
print(json.dumps([pages, sums, [stat[prog[n]].counter.value_() for n in names]]))`;

type Page = [entries: number, mapcount: number, refcount: number, writable: number, anonymous: boolean];

/** Made with a seed, where another may show more. */
const DUMPS: [string, (seed: number) => BootDump | Promise<BootDump>][] = [
  // Children that a fork has made are there at the crash, asleep, or not.
  ["the workload's", (seed) => bootDump(["--memory", "32M", "--seed", String(seed), "--workload", "400"])],
  ["mapped files", async () => (await mappedDump()).dump],
];
const [SEED, SEED_MAX] = [8, 20];

describeStock(["drgn"], "the pages of a crashed kernel's programs", () => {
  describe.each(DUMPS)("%s", (_, make) => check(make));
});

const sharedOf = (pages: Page[]): Page[] =>
  pages.filter(([entries, , , , anonymous]) => anonymous && entries > 1);

function check(make: (seed: number) => BootDump | Promise<BootDump>): void {
  let dump: BootDump;
  let pages: Page[];
  let sums: number[][];
  let mapped: number[];

  beforeAll(async () => {
    for (let seed = SEED; ; seed++) {
      dump = await make(seed);
      [pages, sums, mapped] = drgn(dump, SCRIPT) as [Page[], number[][], number[]];
      if (sharedOf(pages).length > 0 || seed === SEED_MAX) break;
      dump.remove();
    }
  }, 120_000);
  afterAll(() => dump?.remove());

  it("as many entries as _mapcount says, each with a reference", () => {
    for (const [entries, mapcount, refcount] of pages) {
      expect(mapcount).toBe(entries);
      expect(refcount).toBeGreaterThanOrEqual(entries);
    }
  });

  it("some are shared by fork, and what is shared nobody may write", () => {
    const shared = sharedOf(pages);
    expect(shared.length).toBeGreaterThan(0);
    for (const [, , , writable] of shared) expect(writable).toBe(0);
    expect(pages.some(([, , , writable]) => writable === 1)).toBe(true);
  });

  it("each task's rss and the kernel's counters are their sums", () => {
    for (const [anon, rssAnon, files, rssFiles] of sums) expect([rssAnon, rssFiles]).toEqual([anon, files]);
    const count = (anonymous: boolean): number => pages.filter((page) => page[4] === anonymous).length;
    expect(mapped).toEqual([count(true), count(false)]);
  });
}
