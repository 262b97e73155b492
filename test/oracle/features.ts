/**
 * What each stock tool can do with each kind of dump, as tests: a feature is tried on the ELF dump and on
 * what makedumpfile makes of it, and held against the truth about the machine. The last test of a tool
 * leaves the results in build/oracle, and compares them with the table in the README, which
 * `npm run oracle:table` makes from them.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Truth, VmcoreOptions } from "../../tools/fixtures/types.ts";
import { built } from "../support/boot.ts";
import { describeStock, run, type StockTool, stock } from "../support/stock.ts";
import { DUMPS, type DumpKind, rowsOf, type ToolResults, versionIn } from "./table.ts";

const ROOT = join(import.meta.dirname, "../..");

/** A dump of one kind, with what goes with it. */
export interface OracleDump {
  kind: DumpKind;
  /** Paths. */
  vmcore: string;
  vmlinux: string;
  directory: string;
  /** The text of vmcore-dmesg.txt. */
  dmesg: string;
  truth: Truth;
}

/** A machine in which there is something to see: tasks of many states, open files, pages of all classes. */
const SHAPE: VmcoreOptions = {
  memory: "64M",
  seed: 4,
  workload: 150,
  hugepages: 1,
  hwpoison: 5,
  offline: 7,
  append: "loglevel=8",
};

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

/**
 * A feature's test on one kind of dump. What it returns is a remark for the table: what it could not do.
 */
type Body = ((dump: OracleDump) => void) | ((dump: OracleDump) => string | undefined);

/** Makes an ELF dump of a shape with the built library, in a directory of its own. */
export function makeDump(shape: VmcoreOptions): OracleDump {
  const directory = mkdtempSync(join(tmpdir(), "wkdump-"));
  const script = `import { writeVmcore } from ${JSON.stringify(built("fixtures.js"))};
console.log(JSON.stringify(await writeVmcore(${JSON.stringify(directory)}, ${JSON.stringify(shape)})));`;
  writeFileSync(join(directory, "make.mjs"), script);
  const made = run(process.execPath, [join(directory, "make.mjs")]);
  expect([made.status, made.stderr]).toEqual([0, ""]);
  const { vmcore, vmlinux, dmesg, truth } = JSON.parse(made.stdout);
  return { kind: "ELF", vmcore, vmlinux, directory, dmesg: readFileSync(dmesg, "latin1"), truth };
}

export class Features {
  readonly #tool: string;
  readonly #results: ToolResults;
  readonly #dumps = new Map<DumpKind, OracleDump>();

  constructor(tool: string) {
    this.#tool = tool;
    this.#results = { tool, version: "", rows: [] };
  }

  /** Makes the dumps: the ELF one by the library, the others by the stock makedumpfile. */
  #make(): void {
    const whole = makeDump(SHAPE);
    for (const kind of DUMPS) {
      let { vmcore } = whole;
      if (kind !== "ELF") {
        vmcore = join(whole.directory, `dump${kind.replace(/\W/g, "")}`);
        const { status, output } = stock("makedumpfile", ["-l", "-d", kind.slice(3), whole.vmcore, vmcore]);
        expect(status, output).toBe(0);
      }
      this.#dumps.set(kind, { ...whole, kind, vmcore });
    }
  }

  /** The dump of a kind, for what compares two. */
  dump(kind: DumpKind): OracleDump {
    return this.#dumps.get(kind)!;
  }

  /** A feature, on the ELF dump alone or on dumps of all kinds. */
  feature(name: string, kinds: readonly DumpKind[], body: Body): void {
    const cells: Partial<Record<DumpKind, string>> = {};
    this.#results.rows.push({ feature: name, cells });
    it.each(kinds)(`${name}: %s`, (kind) => {
      cells[kind] = "no";
      cells[kind] = body(this.#dumps.get(kind)!) ?? "yes";
    });
  }

  /** Declares the tests of `define`, and those that all tools have. */
  tests(tools: readonly StockTool[], define: () => void): void {
    describe(`${this.#tool} by feature`, () => {
      describeStock([...tools, "makedumpfile"], this.#tool, () => {
        beforeAll(() => {
          this.#make();
          this.#results.version = versionOf(this.#tool);
        });
        afterAll(() => {
          const directory = this.#dumps.get("ELF")?.directory;
          if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
        });
        define();
        this.#readme();
      });
    });
  }

  #readme(): void {
    it("is what the README's table says (npm run oracle:table makes it)", () => {
      mkdirSync(built("oracle"), { recursive: true });
      writeFileSync(built(`oracle/${this.#tool}.json`), `${JSON.stringify(this.#results, null, 2)}\n`);
      const told = rowsOf(readFileSync(join(ROOT, "README.md"), "utf8"), this.#tool);
      expect(told.rows).toEqual(this.#results.rows);
      if (told.version !== this.#results.version) {
        console.warn(
          `${this.#tool} is ${this.#results.version} here, the README's table is of ${told.version}`,
        );
      }
    });
  }
}
