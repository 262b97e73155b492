/** Who may import whom: the arrows that docs/architecture.md draws. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

interface Import {
  from: string;
  /** A project path for a relative import, else the module's name. */
  to: string;
}

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => `${folder}/${name}`);
}

function imports(file: string): Import[] {
  const text = readFileSync(join(ROOT, file), "utf8");
  const found: Import[] = [];
  const pattern =
    /^\s*(?:import|export)\b(?:[^;"'`=(]*?\bfrom)?\s*["']([^"'\n]+)["']|\bimport\(\s*["']([^"'\n]+)["']/gm;
  /(?:^|[\n;])\s*(?:import|export)\b[^;"'`]*?["']([^"'\n]+)["']|\bimport\(\s*["']([^"'\n]+)["']/g;
  for (const [, statement, call] of text.matchAll(pattern)) {
    const name = (statement ?? call)!;
    const to = name.startsWith(".") ? relative(ROOT, normalize(join(ROOT, dirname(file), name))) : name;
    found.push({ from: file, to });
  }
  return found;
}

const all = ["kernel-wasm", "runtime", "tools"].flatMap(sources).flatMap(imports);
const inside = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);
const isProject = (path: string): boolean => /^(kernel-wasm|runtime|tools|test|build)(\/|$)/.test(path);

function offenders(from: (path: string) => boolean, wrong: (to: string) => boolean): string[] {
  return all.filter((arrow) => from(arrow.from) && wrong(arrow.to)).map(({ from, to }) => `${from} -> ${to}`);
}

describe("imports", () => {
  it("are found at all", () => {
    expect(all.length).toBeGreaterThan(100);
  });

  it("abi imports nobody", () => {
    const abi = (path: string): boolean => inside(path, "kernel-wasm/abi");
    expect(offenders(abi, (to) => !abi(to))).toEqual([]);
  });

  it("the collector imports nobody, and no kernel imports it", () => {
    const collector = (path: string): boolean => inside(path, "kernel-wasm/collector");
    expect(offenders(collector, (to) => !collector(to))).toEqual([]);
    expect(offenders((from) => !collector(from), collector)).toEqual([]);
  });

  /** Where Linux's own lib/ reaches into the kernel. */
  const LIB_EXCEPTIONS: Record<string, string> = {
    "kernel-wasm/lib/bug.ts": "BUG() ends in panic()",
    "kernel-wasm/lib/dump_stack.ts": "prints the running task and kernel",
    "kernel-wasm/lib/list_debug.ts": "prints which link is wrong",
    "kernel-wasm/lib/show_mem.ts": "prints the memory's state",
    "kernel-wasm/lib/vsprintf.ts": "%pS asks kallsyms",
    "kernel-wasm/lib/xarray.ts": "nodes come from a slab cache",
  };

  it("lib imports nobody but the generated layout and include, and what Linux's lib must", () => {
    const lib = (path: string): boolean => inside(path, "kernel-wasm/lib");
    const wrong = (to: string): boolean => isProject(to) && !lib(to) && !inside(to, "kernel-wasm/include");
    expect(offenders((from) => lib(from) && LIB_EXCEPTIONS[from] === undefined, wrong)).toEqual([]);
  });

  it("kernel-wasm never imports runtime or tools", () => {
    expect(
      offenders(
        (from) => inside(from, "kernel-wasm"),
        (to) => inside(to, "runtime") || inside(to, "tools"),
      ),
    ).toEqual([]);
  });

  it("runtime never imports tools, nor kernel sources", () => {
    const wrong = (to: string): boolean =>
      inside(to, "tools") || (inside(to, "kernel-wasm") && !inside(to, "kernel-wasm/abi"));
    expect(offenders((from) => inside(from, "runtime"), wrong)).toEqual([]);
  });

  it("tools read what the build made of abi, never kernel sources", () => {
    const tools = (from: string): boolean => inside(from, "tools") && !inside(from, "tools/build");
    expect(offenders(tools, (to) => inside(to, "kernel-wasm"))).toEqual([]);
    const build = (from: string): boolean => inside(from, "tools/build");
    expect(offenders(build, (to) => inside(to, "kernel-wasm") && !inside(to, "kernel-wasm/abi"))).toEqual([]);
  });

  // tools/build runs on the developer's machine alone, under Bun.
  const portable = (from: string): boolean =>
    !inside(from, "runtime/adapter") && !inside(from, "tools/build");

  it("only runtime/adapter touches the engine's modules", () => {
    const engine = (to: string): boolean =>
      /^(node|bun|deno|npm|jsr):|^(bun|fs|path|process|os|crypto)$/.test(to);
    expect(offenders(portable, engine)).toEqual([]);
  });

  it("a start loads no module of the engine but what every run needs: each takes milliseconds", () => {
    const needed = /^node:(fs|path|process)$/;
    // What threads run is no part of a start.
    const start = (from: string): boolean =>
      inside(from, "runtime/adapter") && !/\/(thread|port)\.ts$/.test(from);
    expect(offenders(start, (to) => to.startsWith("node:") && !needed.test(to))).toEqual([]);
  });

  it("only runtime/adapter names the engine's globals", () => {
    // The runtime has processes of its own: only members that the engine's process alone has.
    const members = "argv|env|stdin|stdout|stderr|pid|cwd|platform|versions?|exitCode";
    const globals = new RegExp(`(?<![\\w.#])(process\\.(${members})\\b|(Buffer|Bun|Deno)\\s*\\.)`);
    const wrong: string[] = [];
    for (const file of ["runtime", "tools"].flatMap(sources).filter(portable)) {
      const code = readFileSync(join(ROOT, file), "utf8").replace(
        /\/\*[\s\S]*?\*\/|\/\/.*|`[^`]*`|"[^"\n]*"/g,
        "",
      );
      const found = globals.exec(code);
      if (found !== null) wrong.push(`${file}: ${found[0]}`);
    }
    expect(wrong).toEqual([]);
  });

  it("the folders of tools form no circles but those of a table and what stands in it", () => {
    const to = new Map<string, Set<string>>();
    for (const arrow of all) {
      const [from, target] = [arrow.from, arrow.to].map((path) => /^tools\/([^/]+)\//.exec(path)?.[1]);
      if (from === undefined || target === undefined) continue;
      to.set(from, (to.get(from) ?? new Set()).add(target));
    }
    const reach = (folder: string, seen = new Set<string>()): Set<string> => {
      for (const next of to.get(folder) ?? []) if (!seen.has(next)) reach(next, seen.add(next));
      return seen;
    };
    const circles = [...to.keys()].map((folder) =>
      [...reach(folder)].filter((other) => other === folder || reach(other).has(folder)).sort(),
    );
    const found = new Set(circles.filter((circle) => circle.length > 1).map((circle) => circle.join(" ")));
    expect([...found].sort()).toEqual([
      // `boot --truth`, and the library that boots.
      "boot fixtures",
      // The debug kernel is a product, described by the layout.
      "build vmlinux",
      // The table of the machine's programs, which run each other by init's exec.ts.
      "init kdumpctl kexec kmod swap workload",
    ]);
  });

  it("tools/dump works without a machine", () => {
    const dump = (from: string): boolean => inside(from, "tools/dump");
    const others = ["runtime/user/proc.ts", "build/generated/codecs.ts"];
    const allowed = (to: string): boolean => dump(to) || others.includes(to);
    expect(offenders(dump, (to) => isProject(to) && !allowed(to))).toEqual([]);
  });

  /** jco's transpiler, which the build puts into a bundle of its own (tools/build/bindgen.ts). */
  const BINDGEN = "tools/collector/bindgen.ts";

  it("the program needs no package at run time", () => {
    const packages = (to: string): boolean => !isProject(to) && !to.startsWith("node:");
    const program = (from: string): boolean => inside(from, "tools") && portable(from) && from !== BINDGEN;
    expect(offenders((from) => inside(from, "runtime") || program(from), packages)).toEqual([]);
  });

  it("the transpiler is part of no program: a collector's thread loads its bundle", () => {
    const types = readFileSync(join(ROOT, "tools/collector/thread.ts"), "utf8").match(
      /^import.*bindgen.*$/gm,
    );
    expect(types).toEqual(['import type * as Bindgen from "./bindgen.ts";']);
    const users = ["tools/collector/thread.ts", "tools/collector/check.ts", "tools/build/collector.ts"];
    expect(
      offenders(
        (from) => !users.includes(from),
        (to) => to === BINDGEN,
      ),
    ).toEqual([]);
    const check = readFileSync(join(ROOT, "tools/collector/check.ts"), "utf8");
    expect(check).toContain('import type { Transpiled } from "./bindgen.ts";');
    const shim = (to: string): boolean => to === "tools/collector/no-wasi.ts";
    expect(offenders(() => true, shim)).toEqual([]);
  });
});
