/**
 * What each stock tool can do with each kind of dump of each machine, as tests: a feature is tried on the ELF
 * dump and on what makedumpfile makes of it, and held against the truth about the machine. A machine's tests
 * leave their results in build/oracle, and compare them with the tables in the README, which
 * `npm run oracle:table` makes from them.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Truth } from "../../tools/fixtures/types.ts";
import { built } from "../support/boot.ts";
import { describeStock, run, type StockTool, stock } from "../support/stock.ts";
import type { Shape } from "./shapes.ts";
import { DUMPS, type DumpKind, fileOf, type Results, rowsOf, type ToolResults, versionIn } from "./table.ts";

const ROOT = join(import.meta.dirname, "../..");
const SEEDS_MAX = 40;
/** The first question to a tool on a machine of 1G takes a while. */
const TIMEOUT_MS = 240_000;

/** A dump of one kind, with what goes with it. */
export interface OracleDump {
  kind: DumpKind;
  /** Paths. */
  vmcore: string;
  vmlinux: string;
  directory: string;
  /** The truth as JSON. */
  json: string;
  /** The text of vmcore-dmesg.txt. */
  dmesg: string;
  truth: Truth;
  /** The ELF dump that this one was made of; itself. */
  whole: OracleDump;
}

/** What a feature's test returns is a remark for the table: what could not be done. */
type Remark = string | undefined;

export interface Feature {
  name: string;
  /** The ELF dump alone, or dumps of all kinds. */
  kinds: readonly DumpKind[];
  body: (dump: OracleDump) => Remark | Promise<Remark> | void | Promise<void>;
}

export interface Tool {
  name: string;
  needs: readonly StockTool[];
  features: readonly Feature[];
  /** Milliseconds from its start to its prompt, where the README tells. */
  start?: (dump: OracleDump) => number;
}

/** How a tool says which version it is. */
const VERSIONS: Record<string, readonly [command: string, ...args: string[]]> = {
  readelf: ["readelf", "--version"],
  makedumpfile: ["makedumpfile", "-v"],
  "vmcore-dmesg": ["kexec", "-v"],
  crash: ["crash", "--version"],
  gdb: ["gdb", "--version"],
  drgn: ["/usr/bin/python3", "-m", "drgn", "--version"],
  libkdumpfile: [
    "/usr/bin/python3",
    "-c",
    "import importlib.metadata; print(importlib.metadata.version('libkdumpfile'))",
  ],
};

export function versionOf(tool: string): string {
  const [command, ...args] = VERSIONS[tool] as readonly [string, ...string[]];
  return versionIn(run(command, args).output);
}

/** Makes an ELF dump of a shape with the built library, in a directory of its own. */
export function makeDump({ options, wanted }: Pick<Shape, "options" | "wanted">): OracleDump {
  const directory = mkdtempSync(join(tmpdir(), "wkdump-"));
  for (let seed = options.seed; seed < options.seed + SEEDS_MAX; seed++) {
    const script = `import { writeVmcore } from ${JSON.stringify(built("fixtures.js"))};
console.log(JSON.stringify(await writeVmcore(${JSON.stringify(join(directory, `${seed}`))},
  ${JSON.stringify({ ...options, seed })})));`;
    writeFileSync(join(directory, "make.mjs"), script);
    const made = run(process.execPath, [join(directory, "make.mjs")]);
    expect([made.status, made.stderr]).toEqual([0, ""]);
    const { vmcore, vmlinux, dmesg, json, truth } = JSON.parse(made.stdout);
    if (!wanted(truth)) {
      rmSync(join(directory, `${seed}`), { recursive: true });
      continue;
    }
    const dump = { vmcore, vmlinux, directory, json, dmesg: readFileSync(dmesg, "latin1"), truth };
    const whole = { kind: "ELF", ...dump } as OracleDump;
    whole.whole = whole;
    return whole;
  }
  rmSync(directory, { recursive: true });
  throw new Error(`no seed from ${options.seed} to ${options.seed + SEEDS_MAX - 1} makes such a machine`);
}

/** What makedumpfile makes of a dump. */
function compressed(whole: OracleDump, kind: DumpKind): OracleDump {
  const vmcore = join(whole.directory, `dump${kind.replace(/\W/g, "")}`);
  const { status, output } = stock("makedumpfile", ["-l", "-d", kind.slice(3), whole.vmcore, vmcore]);
  expect(status, output).toBe(0);
  return { ...whole, kind, vmcore };
}

/** The tests of all tools on the dumps of one machine, and of what the README says of it. */
export function oracle(shape: Shape, tools: readonly Tool[]): void {
  describeStock(["makedumpfile"], `the dump of ${shape.name}`, () => {
    const dumps = new Map<DumpKind, OracleDump>();
    const results: Results = { machine: shape.name, about: shape.about, start_ms: {}, tools: [] };
    beforeAll(() => {
      const whole = makeDump(shape);
      for (const kind of DUMPS) dumps.set(kind, kind === "ELF" ? whole : compressed(whole, kind));
    }, TIMEOUT_MS);
    afterAll(() => {
      const directory = dumps.get("ELF")?.directory;
      if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
    });

    for (const { name, needs, features, start } of tools) {
      const result: ToolResults = { tool: name, version: "", rows: [] };
      results.tools.push(result);
      describeStock(needs, name, () => {
        beforeAll(() => {
          result.version = versionOf(name);
          if (start === undefined) return;
          for (const [kind, dump] of dumps) results.start_ms[kind] = Math.round(start(dump));
        });
        for (const feature of features) {
          const cells: Partial<Record<DumpKind, string>> = {};
          result.rows.push({ feature: feature.name, cells });
          const test = async (kind: DumpKind): Promise<void> => {
            cells[kind] = "no";
            cells[kind] = (await feature.body(dumps.get(kind)!)) ?? "yes";
          };
          it.each(feature.kinds)(`${feature.name}: %s`, test, TIMEOUT_MS);
        }
        it("is what the README's table says (npm run oracle:table makes it)", () => {
          mkdirSync(built("oracle"), { recursive: true });
          writeFileSync(fileOf(shape.name), `${JSON.stringify(results, null, 2)}\n`);
          const told = rowsOf(readFileSync(join(ROOT, "README.md"), "utf8"), name);
          expect(told.rows).toEqual(result.rows);
          if (told.version !== result.version) {
            console.warn(`${name} is ${result.version} here, the README's table is of ${told.version}`);
          }
        });
      });
    }
  });
}
