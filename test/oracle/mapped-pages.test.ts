/** Mapped files and shared memory in a dump, by crash: what `vm -p` and `rd -u` say of them. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { describeStock } from "../support/stock.ts";
import { type CrashRun, crash } from "./debuggers.ts";
import { type MappedDump, mappedDump } from "./mapped.ts";

describeStock(["crash"], "mappings in a crashed kernel", () => {
  let made: MappedDump;
  let run: CrashRun;
  let vm: string;
  const hex = (value: number): string => value.toString(16);

  beforeAll(async () => {
    made = await mappedDump();
    const reads = [...made.texts.keys()].map((at) => `rd -u -a ${hex(at)} 16`);
    run = crash(made.dump, [`vm -p ${made.pid}`, `set ${made.pid}`, ...reads]);
    vm = run.output.get(`vm -p ${made.pid}`) ?? "";
  }, 120_000);
  afterAll(() => made?.dump.remove());

  it("each page that was touched has its physical page, which holds what was written", () => {
    for (const [at, text] of made.texts) {
      const page = at - (at % 4096);
      expect(vm).toMatch(new RegExp(`^ *${hex(page)} +[0-9a-f]+ *$`, "m"));
      expect(run.output.get(`rd -u -a ${hex(at)} 16`)).toContain(text);
    }
  });

  it("one that was not says which page of the file it is", () => {
    expect(vm).toMatch(new RegExp(`^ *${hex(made.untouched)} +FILE: /mapped +OFFSET: 6000 *$`, "m"));
  });

  it("files have their names", () => {
    for (const name of ["/mapped", "/dev/ram1", "dev/zero"]) expect(vm).toContain(name);
  });

  it("RSS is the number of pages that are there, but for shared memory, which crash leaves out", () => {
    const kB = Number(/^ *[0-9a-f]+ +[0-9a-f]+ +(\d+)k +\d+k/m.exec(vm)?.[1]);
    const present = [...vm.matchAll(/^ *([0-9a-f]+) +([0-9a-f]+) *$/gm)].length;
    expect(kB / 4).toBe(present - 1);
  });
});
