import { describe, expect, it } from "vitest";
import { parseBenchFlags, run } from "../../tools/bench/main.ts";
import { bootTimes, median } from "../../tools/bench/measure.ts";
import { type Row, table } from "../../tools/bench/table.ts";
import { CommandError, UsageError } from "../../tools/flags.ts";

describe("wkdump bench", () => {
  it("measures everything unless told otherwise", () => {
    expect(parseBenchFlags([])).toEqual({
      rounds: 10,
      dump: 1 << 30,
      vmcore: undefined,
      only: ["memory", "boot", "crash", "save", "makedumpfile"],
      out: "./var/bench",
      json: false,
    });
    const flags = [
      "--rounds",
      "3",
      "--dump=16M",
      "--only",
      "save,boot",
      "--out",
      "x",
      "--vmcore",
      "y",
      "--json",
    ];
    expect(parseBenchFlags(flags)).toEqual({
      rounds: 3,
      dump: 16 << 20,
      vmcore: "y",
      only: ["boot", "save"],
      out: "x",
      json: true,
    });
  });

  it.each([
    [["--rounds", "0"]],
    [["--rounds", "1.5"]],
    [["--dump", "much"]],
    [["--only", "speed"]],
    [["x"]],
    [["--frob"]],
  ])("refuses %j", (args) => {
    expect(() => parseBenchFlags(args)).toThrow(UsageError);
  });

  it("takes the middle of the samples", () => {
    expect(median([5])).toBe(5);
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([])).toBeNaN();
  });

  it("prints a table whose columns stand below each other", () => {
    const row = (what: string, met: boolean): Row => ({
      name: what,
      what,
      value: "1.0 ms",
      beside: "cp 2.0 ms",
      ratio: 0.5,
      aim: "<= 1 ms",
      met,
      samples: {},
    });
    expect(table([row("short", true), row("rather long", false)])).toBe(
      "             median  beside     ratio  aim\n" +
        "short        1.0 ms  cp 2.0 ms  0.50   <= 1 ms  met\n" +
        "rather long  1.0 ms  cp 2.0 ms  0.50   <= 1 ms  missed\n",
    );
  });

  it("prints what there is no aim or nothing to compare for", () => {
    const rest = { met: true, samples: {} };
    const rows: Row[] = [
      { name: "a", what: "-p", value: "1 s", beside: "stock cannot", more: "memory 3", aim: "", ...rest },
      { name: "b", what: "-l", value: "1 s", beside: "stock 2 s", ratio: 0.5, aim: "<= 1", ...rest },
    ];
    expect(table(rows)).toBe(
      "    median  beside        ratio            aim\n" +
        "-p  1 s     stock cannot  -      memory 3\n" +
        "-l  1 s     stock 2 s     0.50             <= 1  met\n",
    );
  });

  it("finds the parts in what boot says", () => {
    const line = "Times in ms: boot 20.7, load 12.2, crash to capture 12.9, save 25.6, total 87.3\n";
    const times = { boot: 20.7, load: 12.2, "crash to capture": 12.9, save: 25.6, total: 87.3 };
    expect(bootTimes(`[    0.1] Run /init\n\n${line}The dump: x\n`)).toEqual(times);
    expect(() => bootTimes(line.replace("load 12.2, ", ""))).toThrow(CommandError);
  });

  it("fails on wrong usage before anything runs", async () => {
    await expect(run({} as never, ["--rounds", "none"])).rejects.toThrow(
      /--rounds none: a number from 1 to 1000/,
    );
  });
});
