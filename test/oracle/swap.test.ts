/** A swap area in use: crash's and drgn's view of its places, of the entries for them, and of the events. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type BootDump, bootDump } from "../support/boot.ts";
import { describeStock } from "../support/stock.ts";
import { crash, drgn } from "./debuggers.ts";

const FLAGS = "--memory 20M --swap 6M --fill 75% --workload 300 --seed 2".split(" ");
const SIZE = 6 * 256 - 1;

/** Places that have a page in the swap cache, places in use, and the events of all CPUs. */
const SCRIPT = `
si = prog['swap_info'][0]
used = [i for i in range(1, si.max.value_()) if si.swap_map[i].value_() not in (0,)]
flags = 1 << prog['PG_swapcache'].value_() | 1 << prog['PG_swapbacked'].value_()
cached = []
for page in for_each_page(prog):
    try:
        if page.flags.value_() & flags == flags:
            cached.append([page.private.value_() & ((1 << 58) - 1), page.mapping.value_() & 1])
    except FaultError: pass
names = [name for name, _ in prog.type('enum vm_event_item').enumerators[:-1]]
events = {}
for cpu in for_each_online_cpu(prog):
    state = per_cpu(prog['vm_event_states'], cpu)
    for i, name in enumerate(names): events[name] = events.get(name, 0) + state.event[i].value_()
print(json.dumps([used, cached, events]))`;

describeStock(["crash", "drgn"], "a swap area in use", () => {
  let dump: BootDump;
  let output: Map<string, string>;
  let used: number[];
  let cached: [place: number, anonymous: number][];
  let events: Record<string, number>;

  beforeAll(() => {
    dump = bootDump(FLAGS);
    ({ output } = crash(dump, ["swap", "kmem -i", "kmem -V", "foreach user vm -p"]));
    [used, cached, events] = drgn(dump, SCRIPT) as [typeof used, typeof cached, typeof events];
  }, 180_000);
  afterAll(() => dump?.remove());

  it("is listed with its size and use", () => {
    expect(used.length).toBeGreaterThan(100);
    const line = /PARTITION +(\d+)k +(\d+)k +(\d+)% +(-?\d+) +(\S+)/.exec(output.get("swap") as string);
    const percent = Math.floor((used.length * 100) / SIZE);
    expect(line?.slice(1)).toEqual([`${SIZE * 4}`, `${used.length * 4}`, `${percent}`, "-2", "/dev/ram1"]);
    const memory = output.get("kmem -i") as string;
    expect(Number(/TOTAL SWAP +(\d+)/.exec(memory)?.[1])).toBe(SIZE);
    expect(Number(/SWAP USED +(\d+)/.exec(memory)?.[1])).toBe(used.length);
    expect(Number(/SWAP FREE +(\d+)/.exec(memory)?.[1])).toBe(SIZE - used.length);
  });

  it("has a page table entry or a page in the swap cache for each place in use", () => {
    const pages = output.get("foreach user vm -p") as string;
    const entries = [...pages.matchAll(/^([0-9a-f]+) +SWAP: \/dev\/ram1 +OFFSET: (\d+)$/gm)];
    expect(entries.length).toBeGreaterThan(100);
    const places = new Set([
      ...entries.map(([, , place]) => Number(place)),
      ...cached.map(([place]) => place),
    ]);
    expect([...places].sort((a, b) => a - b)).toEqual(used);
  });

  it("is where vtop says that a page is", () => {
    const pages = output.get("foreach user vm -p") as string;
    const [, pid] = /^PID: (\d+)[\s\S]*?SWAP:/m.exec(pages) as RegExpExecArray;
    const [, address, place] = /^([0-9a-f]+) +SWAP: \S+ +OFFSET: (\d+)$/m.exec(
      pages.slice(pages.indexOf(`PID: ${pid} `)),
    ) as RegExpExecArray;
    const command = `vtop -c ${pid} -u ${address}`;
    const told = crash(dump, [command]).output.get(command) as string;
    expect(told).toMatch(new RegExp(`SWAP: /dev/ram1 +OFFSET: ${place}\\b`));
  });

  it("pages in the swap cache are anonymous: makedumpfile takes them for the programs'", () => {
    expect(cached.length).toBeGreaterThan(0);
    for (const [, anonymous] of cached) expect(anonymous).toBe(1);
  });

  it("the events are those of all CPUs", () => {
    const told = [...(output.get("kmem -V") as string).matchAll(/^ *(\w+): (\d+)$/gm)];
    const shown = Object.fromEntries(told.map(([, name, count]) => [name, Number(count)]));
    expect(shown).toMatchObject(events);
    expect(events.PSWPOUT).toBeGreaterThan(100);
    expect(events.PGALLOC_DMA).toBeGreaterThan(events.PGFAULT as number);
  });
});
