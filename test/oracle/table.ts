/**
 * The README's table of what each stock tool can do with each kind of dump: written from the oracle's
 * results, and read again to be compared with them.
 *
 *     bun test/oracle/table.ts     puts the results of build/oracle into README.md
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** ELF as the capture kernel wrote it, and what makedumpfile made of that. */
export const DUMPS = ["ELF", "-d 0", "-d 1", "-d 31"] as const;
export type DumpKind = (typeof DUMPS)[number];

export interface ToolResults {
  tool: string;
  version: string;
  rows: { feature: string; cells: Partial<Record<DumpKind, string>> }[];
}

/** In the order of the table. */
const TOOLS = ["readelf", "makedumpfile", "vmcore-dmesg", "crash", "gdb", "drgn", "libkdumpfile"];
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

/** The table of these tools. */
export function render(results: readonly ToolResults[]): string {
  const sorted = TOOLS.flatMap((tool) => results.filter((it) => it.tool === tool));
  const lines = sorted.flatMap(({ tool, version, rows }) =>
    rows.map(({ feature, cells }) => [
      `${tool} ${version}`,
      feature,
      ...DUMPS.map((kind) => cells[kind] ?? ""),
    ]),
  );
  return markdown([["tool", "feature", ...DUMPS], ...lines]);
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

/** The README with the table of these tools in the place of the old one. */
export function withTable(readme: string, results: readonly ToolResults[]): string {
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`README.md has no place for the table: ${BEGIN} ... ${END}`);
  return `${readme.slice(0, begin + BEGIN.length)}\n\n${render(results)}\n\n${readme.slice(end)}`;
}

if (import.meta.main) {
  const results = TOOLS.flatMap((tool): ToolResults[] => {
    const path = join(ROOT, `build/oracle/${tool}.json`);
    return existsSync(path) ? [JSON.parse(readFileSync(path, "utf8"))] : [];
  });
  const missing = TOOLS.filter((tool) => !results.some((it) => it.tool === tool));
  if (missing.length > 0) {
    console.error(
      `no results of ${missing.join(", ")}: run \`npx vitest run test/oracle\` where they are installed`,
    );
    process.exit(1);
  }
  const path = join(ROOT, "README.md");
  writeFileSync(path, withTable(readFileSync(path, "utf8"), results));
}
