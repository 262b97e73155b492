/**
 * The fuzzer: a few seeds by its command, and a canary for each check: a defect planted into the crashed
 * kernel's memory, which the check must find.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  constants,
  fdtable,
  files_struct,
  free_area,
  kmem_cache,
  kmem_cache_node,
  list_head,
  page,
  pglist_data,
  rq,
  task_struct,
  zone,
} from "../../build/generated/offsets.ts";
import { CrashedKernel } from "../../tools/crashed/kernel.ts";
import { SystemMap } from "../../tools/crashed/system-map.ts";
import { parseFuzzFlags } from "../../tools/fuzz/main.ts";
import { makePlan } from "../../tools/fuzz/plan.ts";
import { type FuzzAssets, type Memories, type Plant, runSeed } from "../../tools/fuzz/run.ts";
import { CRASH_TYPES } from "../../tools/init/crashes.ts";
import { built, wkdump } from "../support/boot.ts";

const directory = mkdtempSync(join(tmpdir(), "wkdump-fuzz-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe("wkdump fuzz", () => {
  it("runs seeds, each twice, and finds nothing", () => {
    const result = wkdump(["fuzz", "--runs", "12", "--json", "--out", directory], { timeout_ms: 60_000 });
    expect(result.output).toMatch(/"findings":\[\]/);
    expect(result.status).toBe(0);
    const json = JSON.parse(result.stdout);
    expect(json).toMatchObject({ from: 0, runs: 12, seeds_per_second: expect.any(Number) });
    expect(json.outcomes.captured).toBeGreaterThan(3);
    expect(readdirSync(directory)).toEqual([]);
  });

  it("runs long stories: fork bombs, full tables, exhausted memory, bad pointers", () => {
    const flags = ["--runs", "4", "--from", "300", "--operations", "2500", "--json", "--out", directory];
    const result = wkdump(["fuzz", ...flags], { timeout_ms: 110_000 });
    expect(result.output).toMatch(/"findings":\[\]/);
    expect(readdirSync(directory)).toEqual([]);
  }, 120_000);

  it("runs machines of several CPUs", () => {
    const flags = ["--runs", "10", "--from", "10", "--cpus", "any", "--json", "--out", directory];
    const result = wkdump(["fuzz", ...flags], { timeout_ms: 110_000 });
    expect(result.output).toMatch(/"findings":\[\]/);
    expect(new Set([...Array(10).keys()].map((i) => makePlan(10 + i, 0, "any").cpus))).toEqual(
      new Set([1, 2, 4, 8]),
    );
    // What was under way excuses little: of hundreds of things looked at a few.
    const { excused } = JSON.parse(result.stdout) as { excused: Record<string, number> };
    expect(Object.values(excused).reduce((sum, n) => sum + n, 0)).toBeLessThan(20);
  }, 120_000);

  it("replays one, and leaves its folder", () => {
    const seed = [...Array(50).keys()].find((n) => makePlan(n).crash === "sysrq-c" && !makePlan(n).damage)!;
    const result = wkdump(["fuzz", "--replay", String(seed), "--out", directory], { timeout_ms: 60_000 });
    expect(result.stdout).toMatch(new RegExp(`^seed ${seed}: sysrq-c by (init|child) (after|on CPU 0)`));
    const folder = join(directory, `seed-${seed}`);
    expect(readFileSync(join(folder, "title"), "utf8")).toContain(`seed ${seed}: sysrq-c`);
    expect(readFileSync(join(folder, "console"), "latin1")).toContain("sysrq triggered crash");
    expect(existsSync(join(folder, "vmcore"))).toBe(true);
  });

  it.each([
    [20017, "out of memory again and again, with a log that is long full", "captured", []],
    [
      19,
      "a victim of the OOM killer that ends by itself on another CPU",
      "captured",
      ["--cpus", "4", "--operations", "50"],
    ],
    [209, "a log that begins with words printed before", "captured", ["--operations", "10000"]],
    [
      333,
      "a program that was killed for want of memory before it began",
      "captured",
      ["--operations", "10000"],
    ],
    [
      749,
      "children whose parents were killed before clone came back",
      "powered-off",
      ["--operations", "10000"],
    ],
    [
      877,
      "a child that ended before its parent, since killed, was back from clone",
      "powered-off",
      ["--operations", "10000"],
    ],
    [
      710,
      "a panic for want of memory in the middle of a fork, and no kdump",
      "not-captured",
      ["--operations", "10000"],
    ],
    [88, "a full swap area, and pages that many programs share", "captured", ["--operations", "10000"]],
  ] as const)("seed %i, %s", (seed, _what, outcome, more) => {
    const result = wkdump(["fuzz", "--replay", String(seed), ...more, "--json", "--out", directory], {
      timeout_ms: 60_000,
    });
    const { outcomes, findings, unseen } = JSON.parse(result.stdout);
    expect({ outcomes, findings }).toEqual({ outcomes: { [outcome]: 1 }, findings: [] });
    expect(unseen).toBe(outcome === "not-captured" ? 1 : 0);
  });

  it("refuses what it cannot do", () => {
    for (const [args, what] of [
      [[], "give --runs N or --replay SEED"],
      [["--runs", "0"], "--runs 0: a number from 1"],
      [["--runs", "2", "--replay", "3"], "give --runs N or --replay SEED"],
      [["--replay", "x"], "--replay x: a number"],
      [["--runs", "2", "--from", "4294967295"], "seeds end at 4294967295"],
      [["--replay", "1", "--from", "2"], "--from goes with --runs"],
      [["1"], "unexpected argument 1"],
      [["--runs", "1", "--operations", "10001"], "--operations 10001: a number from 0 to 10000"],
      [["--runs", "1", "--limit", "0"], "--limit 0: a number from 1"],
    ] as const) {
      expect(() => parseFuzzFlags(args)).toThrow(what);
    }
  });

  it("comes to every kind of crash in 500 seeds, in the middle of the work and on every CPU", () => {
    const plans = [...Array(500).keys()].map((seed) => makePlan(seed, undefined, 4));
    const kinds = new Set(plans.map(({ crash }) => crash));
    const slow = ["lockup", "hardlockup", "hang"];
    const all = CRASH_TYPES.filter(({ name, ends }) => name !== "none" && !slow.includes(ends));
    expect([...kinds].sort()).toEqual(["nmi", "init-exit", "oom", ...all.map(({ name }) => name)].sort());
    const middle = plans.flatMap(({ moment }) => (moment === "after" ? [] : [moment]));
    expect(middle.length).toBeGreaterThan(150);
    expect(plans.length - middle.length).toBeGreaterThan(150);
    for (const cpu of [0, 1, 2, 3]) {
      expect(
        plans.some((plan) => plan.crash === "nmi" && plan.moment !== "after" && plan.moment.cpu === cpu),
      ).toBe(true);
    }
    expect(plans.every(({ crash, moment }) => crash !== "nmi" || moment !== "after")).toBe(true);
  });

  it("plans differ from seed to seed, and are the same for the same", () => {
    const plans = [...Array(200).keys()].map((seed) => JSON.stringify(makePlan(seed)));
    expect(new Set(plans).size).toBe(200);
    expect(plans).toEqual([...Array(200).keys()].map((seed) => JSON.stringify(makePlan(seed))));
  });
});

describe("a planted defect is found", () => {
  let assets: FuzzAssets;
  let seed = 0;
  const memories: Memories = new Map();

  beforeAll(() => {
    const read = (name: string): Uint8Array => new Uint8Array(readFileSync(built(name)));
    const symbols = SystemMap.parse(read("System.map"));
    assets = { image: read("vmlinuz"), initrd: read("initrd.img"), symbols };
    while (makePlan(seed).crash !== "sysrq-c" || makePlan(seed).damage || !makePlan(seed).crashkernel.fits)
      seed++;
  });

  type Change = (kernel: CrashedKernel, set: (at: number, value: number) => void) => void;

  const firstNode = (kernel: CrashedKernel): number => kernel.pointer(kernel.symbol("node_data"));
  const init = (kernel: CrashedKernel): number =>
    kernel.pointer(kernel.symbol("init_task") + task_struct.tasks) - task_struct.tasks;
  const freePage = (kernel: CrashedKernel): number => {
    for (let at = 0; at < 4; at++) {
      const lists = firstNode(kernel) + pglist_data.node_zones + zone.free_area;
      for (let order = 0; order < constants.MAX_ORDER; order++) {
        const head = lists + order * free_area.SIZE + at * list_head.SIZE;
        const first = kernel.pointer(head);
        if (first !== head) return first - page.lru;
      }
    }
    throw new Error("no free page");
  };
  const firstCache = (kernel: CrashedKernel): number =>
    kernel.pointer(kernel.symbol("slab_caches")) - kmem_cache.list;
  const slabPage = (kernel: CrashedKernel): number => {
    const { first, end } = kernel.pages;
    for (let pfn = first; pfn < end; pfn++) {
      const at = kernel.pageAt(pfn);
      if ((kernel.u32(at + page.flags) & (1 << constants.PG_slab)) !== 0) return at;
    }
    throw new Error("no slab");
  };

  const DEFECTS: Record<string, [what: RegExp, change: Change]> = {
    "a task that is not in the idr": [
      /checkTasks: .*idr|checkTasks: .*struct pid/,
      (kernel, set) => set(init(kernel) + task_struct.pid, 777),
    ],
    "the number of tasks": [
      /checkTasks: .*nr_threads/,
      (kernel, set) => set(kernel.symbol("nr_threads"), kernel.u32(kernel.symbol("nr_threads")) + 1),
    ],
    "a link of the task list": [
      /checkTasks: task list/,
      (kernel, set) =>
        set(init(kernel) + task_struct.tasks + 8, kernel.symbol("init_task") + 64 + 0x80000000),
    ],
    "the parent of a child": [
      /checkTasks: .*child of another/,
      (kernel, set) => set(init(kernel) + task_struct.real_parent, 0x80000000 + kernel.symbol("init_pid_ns")),
    ],
    "the end of a stack": [
      /checkTasks: task 1: the end of its stack/,
      (kernel, set) => set(kernel.pointer(init(kernel) + task_struct.stack), 0),
    ],
    "the bits of open files": [
      /checkTasks: task 1: descriptor 9 and open_fds/,
      (kernel, set) => {
        const files = kernel.pointer(init(kernel) + task_struct.files);
        const table = kernel.pointer(files + files_struct.fdt);
        const bits = kernel.pointer(table + fdtable.open_fds);
        set(bits, kernel.u32(bits) ^ (1 << 9));
        const other = kernel.u32(bits) & (1 << 9);
        if (other === 0) throw new Error("descriptor 9 was open");
      },
    ],
    "the length of the run queue": [
      /checkTasks: .*nr_running/,
      (kernel, set) => {
        const at = kernel.percpu("runqueues") + rq.nr_running;
        set(at, kernel.u32(at) + 1);
      },
    ],
    "a reference to a free page": [
      /checkPages: free page .* has 1 references/,
      (kernel, set) => set(freePage(kernel) + page._refcount, 1),
    ],
    "a flag of a free page": [
      /checkPages: free page .* has flags/,
      (kernel, set) => set(freePage(kernel) + page.flags, 1 << constants.PG_lru),
    ],
    "the order of a free block": [
      /checkPages: .* says order 9/,
      (kernel, set) => set(freePage(kernel) + page.private, 9),
    ],
    "a free block that says it is none": [
      /checkPages: .* is not marked as free/,
      (kernel, set) => set(freePage(kernel) + page.page_type, 0xffffffff),
    ],
    NR_FREE_PAGES: [
      /checkPages: .*vm_zone_stat says/,
      (kernel, set) => {
        const at = kernel.symbol("vm_zone_stat") + constants.NR_FREE_PAGES * 8;
        set(at, kernel.u32(at) - 1);
      },
    ],
    "an LRU counter": [
      /checkPages: LRU list \d has/,
      (kernel, set) => {
        const at = kernel.symbol("vm_node_stat") + constants.NR_UNEVICTABLE * 8;
        set(at, kernel.u32(at) + 1);
      },
    ],
    "the use of a slab": [
      /checkSlabs: .*(inuse|in use|not frozen|is frozen|leads|no object)/,
      (kernel, set) => {
        const at = slabPage(kernel) + page.counters;
        set(at, kernel.u32(at) ^ 0x80000001);
      },
    ],
    "the count of a cache's slabs": [
      /checkSlabs: .*nr_slabs/,
      (kernel, set) => {
        const node = kernel.pointer(firstCache(kernel) + kmem_cache.node);
        set(node + kmem_cache_node.nr_slabs, kernel.u32(node + kmem_cache_node.nr_slabs) + 1);
      },
    ],
    "the cache of a slab": [
      /checkSlabs: .*(belongs to no cache|another cache)/,
      (kernel, set) => set(slabPage(kernel) + page.slab_cache, 0x1000),
    ],
    "the log against the console": [
      /checkDump: (log|.*not in the log|vmcore-dmesg)/,
      (kernel, set) => {
        const at = kernel.symbol("__log_buf") + 12;
        set(at, kernel.u32(at) ^ 1);
      },
    ],
  };

  it.each(Object.entries(DEFECTS))("%s", async (_name, [what, change]) => {
    const plant: Plant = ({ memory }) => {
      const kernel = new CrashedKernel(memory.view, assets.symbols);
      change(kernel, (at, value) => memory.setU32(at, value >>> 0));
    };
    const { verdict } = await runSeed(seed, assets, memories, { first: plant });
    expect(verdict.finding).toMatch(what);
  });

  it("a byte of memory that changes behind the host's back", async () => {
    for (const phys of [0x5000, 0x100010, makePlan(seed).memory >> 1]) {
      const plant: Plant = ({ memory }) => {
        return () => memory.setU8(phys, memory.u8(phys) ^ 0x40);
      };
      const { verdict } = await runSeed(seed, assets, memories, { first: plant });
      expect(verdict.finding).toMatch(`checkDump: PT_LOAD`);
      expect(verdict.finding).toMatch(`memory at 0x${phys.toString(16)} was`);
    }
  });

  it("and without one nothing is", async () => {
    const { verdict, remains } = await runSeed(seed, assets, memories);
    expect(verdict).toMatchObject({ seed, outcome: "captured", finding: undefined });
    expect(remains.vmcore!.length).toBeGreaterThan(4 << 20);
  });
});
