/** The style that can be checked: lengths, headers, and what must not be left lying about. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const SKIPPED = new Set(["node_modules", "build", "var", ".git", "generated"]);
const TEXT = /\.(ts|js|mjs|json|md|yml|yaml|wit|sh|c|h)$|\/(LICENSE|run|\.gitignore)$/;
const LINE_MAX = 110;
const FILE_MAX_lines = 500;
/** Data that would be less clear in pieces. */
const TABLES: readonly RegExp[] = [/^kernel-wasm\/abi\//, /^test\/.*\/golden\//];

function walk(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === "." ? entry.name : `${folder}/${entry.name}`;
    if (SKIPPED.has(entry.name) || entry.name.endsWith(".tmp")) return [];
    return entry.isDirectory() ? walk(path) : [path];
  });
}

const files = walk(".").filter((path) => TEXT.test(`/${path}`) && path !== "package-lock.json");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const code = files.filter((path) => path.endsWith(".ts"));

/** `path:line` of every line that `wrong` finds. */
function lines(paths: string[], wrong: (line: string, path: string) => boolean): string[] {
  return paths.flatMap((path) =>
    read(path)
      .split("\n")
      .flatMap((line, index) => (wrong(line, path) ? [`${path}:${index + 1}`] : [])),
  );
}

describe("tidy", () => {
  it(`lines have at most ${LINE_MAX} columns`, () => {
    // Prose is wrapped by whatever shows it.
    const checked = files.filter((path) => path !== "LICENSE" && !path.endsWith(".md"));
    expect(lines(checked, (line) => [...line].length > LINE_MAX)).toEqual([]);
  });

  it("no line ends in a blank, no file has tabs or carriage returns", () => {
    expect(lines(files, (line) => /[ \t\r]$/.test(line) || line.includes("\t"))).toEqual([]);
  });

  it("files end in one newline", () => {
    expect(files.filter((path) => !/[^\n]\n$/.test(read(path)))).toEqual([]);
  });

  it(`files have at most ${FILE_MAX_lines} lines`, () => {
    const long = code.filter((path) => !TABLES.some((table) => table.test(path)));
    expect(long.filter((path) => read(path).split("\n").length > FILE_MAX_lines + 1)).toEqual([]);
  });

  it("files open with what they are", () => {
    const header = /^\/\*\*?[\s\S]{20,}?\*\/|^\/\/ .{20}/;
    // A test's describe() says it.
    const headed = code.filter((path) => !path.endsWith(".test.ts"));
    expect(headed.filter((path) => !header.test(read(path)))).toEqual([]);
  });

  it("nothing is left to do in comments", () => {
    // The words are put together, so that this file does not find itself.
    const left = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"].join("|")})\\b`);
    expect(
      lines(
        files.filter((path) => path !== "LICENSE"),
        (line) => left.test(line),
      ),
    ).toEqual([]);
  });

  it("no test is skipped or alone without saying why", () => {
    const alone = new RegExp(`\\b(it|test|describe)\\.(${["on" + "ly", "to" + "do"].join("|")})\\b`);
    expect(lines(code, (line) => alone.test(line))).toEqual([]);
  });

  it("the licence is Apache 2.0, in full", () => {
    expect(JSON.parse(read("package.json")).license).toBe("Apache-2.0");
    const licence = read("LICENSE");
    expect(licence).toMatch(/Apache License\s+Version 2\.0, January 2004/);
    expect(licence).toMatch(/END OF TERMS AND CONDITIONS/);
  });

  it("every dependency is pinned", () => {
    const { dependencies = {}, devDependencies = {} } = JSON.parse(read("package.json"));
    const versions = Object.entries<string>({ ...dependencies, ...devDependencies });
    expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  });
});
