/**
 * The README's tables: of what each stock tool can do with each kind of dump, and of the machines on whose
 * dumps that was tried. They are written from the oracle's results, and read again to be compared with them.
 *
 *     bun test/oracle/table.ts     puts the results of build/oracle into README.md
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SHAPES } from "./shapes.ts";

/** ELF as the capture kernel wrote it, and what makedumpfile made of that. */
export const DUMPS = ["ELF", "-d 0", "-d 1", "-d 31"] as const;
export type DumpKind = (typeof DUMPS)[number];

export interface ToolResults {
  tool: string;
  version: string;
  rows: { feature: string; cells: Partial<Record<DumpKind, string>> }[];
}

/** What the tests of one machine found. */
export interface Results {
  machine: string;
  about: string;
  /** Milliseconds that crash takes to its prompt. */
  start_ms: Partial<Record<DumpKind, number>>;
  tools: ToolResults[];
}

const BEGIN = "<!-- oracle:begin -->";
const END = "<!-- oracle:end -->";
const ROOT = join(import.meta.dirname, "../..");

/** The first thing in a tool's output that looks like a version. */
export function versionIn(output: string): string {
  return /\d+(?:\.\d+)+/.exec(output)?.[0] ?? "unknown";
}

/** A Markdown table with its columns aligned. */
function markdown(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((cells) => cells[column]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  const [head, ...body] = lines;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [line(head!), rule, ...body.map(line)].join("\n");
}

/** One table for all machines. Throws when a tool can do more with one than with another. */
function features(results: readonly Results[]): string {
  const [first, ...others] = results;
  const told = (tools: readonly ToolResults[]): string => JSON.stringify(tools);
  for (const { machine, tools } of others) {
    if (told(tools) !== told(first!.tools)) throw new Error(`${machine} and ${first!.machine} differ`);
  }
  const lines = first!.tools.flatMap(({ tool, version, rows }) =>
    rows.map(({ feature, cells }) => [
      `${tool} ${version}`,
      feature,
      ...DUMPS.map((kind) => cells[kind] ?? ""),
    ]),
  );
  return markdown([["tool", "feature", ...DUMPS], ...lines]);
}

function machines(results: readonly Results[]): string {
  const seconds = (ms = 0): string => `${(ms / 1000).toFixed(2)} s`;
  const lines = results.map(({ machine, about, start_ms }) => [
    machine,
    about,
    ...DUMPS.map((kind) => seconds(start_ms[kind])),
  ]);
  return markdown([["machine", "at the crash", ...DUMPS.map((kind) => `crash's start, ${kind}`)], ...lines]);
}

export function render(results: readonly Results[]): string {
  return `${features(results)}\n\n${machines(results)}`;
}

/** What the README's table says of a tool. */
export function rowsOf(readme: string, tool: string): Pick<ToolResults, "version" | "rows"> {
  const table = readme.slice(readme.indexOf(BEGIN), readme.indexOf(END));
  let version = "";
  const rows: ToolResults["rows"] = [];
  for (const line of table.split("\n")) {
    const [name = "", feature = "", ...told] = line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim());
    if (!name.startsWith(`${tool} `)) continue;
    version = name.slice(tool.length + 1);
    const cells = DUMPS.flatMap((kind, i) => (told[i] ? [[kind, told[i]]] : []));
    rows.push({ feature, cells: Object.fromEntries(cells) });
  }
  return { version, rows };
}

/** The README with the tables of these results in the place of the old ones. */
export function withTable(readme: string, results: readonly Results[]): string {
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`README.md has no place for the table: ${BEGIN} ... ${END}`);
  return `${readme.slice(0, begin + BEGIN.length)}\n\n${render(results)}\n\n${readme.slice(end)}`;
}

/** Where the results of a machine's tests lie. */
export const fileOf = (machine: string): string =>
  join(ROOT, `build/oracle/${machine.toLowerCase().replaceAll(/\W+/g, "-")}.json`);

if (import.meta.main) {
  const missing = SHAPES.filter(({ name }) => !existsSync(fileOf(name)));
  if (missing.length > 0) {
    const names = missing.map(({ name }) => name).join("; ");
    console.error(`no results of ${names}: run \`npx vitest run test/oracle\` where all tools are installed`);
    process.exit(1);
  }
  const results = SHAPES.map(({ name }): Results => JSON.parse(readFileSync(fileOf(name), "utf8")));
  const path = join(ROOT, "README.md");
  writeFileSync(path, withTable(readFileSync(path, "utf8"), results));
}
