/** The layout generator: its offsets against gcc's, its accessors against memory, its errors. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type AbiSpec, abi } from "../../kernel-wasm/abi/dsl.ts";
import { bitFields, emitC, expectations } from "../../tools/build/layout/emit_c.ts";
import { Layout } from "../../tools/build/layout/layout.ts";
import { loadLayout } from "../../tools/build/specs.ts";

const gcc = spawnSync("gcc", ["--version"]).status === 0;
if (!gcc && process.env.CI === "true") throw new Error("gcc is required where CI=true");

/**
 * Compiles the layout as C: every size and offset a static assertion, every bit-field set in a cleared struct
 * and looked for by a program. Returns what gcc or the program complain of.
 */
function askGcc(layout: Layout): string {
  const dir = mkdtempSync(join(tmpdir(), "wkdump-layout-"));
  try {
    const asserts = expectations(layout).map(
      (e) => `_Static_assert(${e.expression} == ${e.value}, "${e.expression}: the layout says ${e.value}");`,
    );
    const checks = bitFields(layout).map(
      (f) => `  { ${f.struct} s; memset(&s, 0, sizeof s); s.${f.member} = -1; int n = 0;
    for (int i = 0; i < 8 * (int)sizeof s; i++) {
      int set = ((unsigned char *)&s)[i / 8] >> i % 8 & 1;
      if (set != (i >= ${f.at} && i < ${f.at + f.width})) n++;
    }
    if (n) fprintf(stderr, "${f.struct}.${f.member}: not at bit ${f.at}\\n"); }`,
    );
    const includes = "#include <stdio.h>\n#include <string.h>\n";
    const main = `${includes}int main(void) {\n${checks.join("\n")}\n  return 0;\n}\n`;
    writeFileSync(join(dir, "layout.c"), `${emitC(layout)}${asserts.join("\n")}\n${main}`);
    const options = { timeout: 60_000 };
    const compiled = spawnSync("gcc", ["-w", "-o", join(dir, "layout"), join(dir, "layout.c")], options);
    if (compiled.status !== 0) return compiled.stderr.toString();
    return spawnSync(join(dir, "layout"), [], options).stderr.toString();
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const layoutOf = (...specs: AbiSpec[]): Layout =>
  new Layout(
    "production",
    { CONFIG_N: 3, CONFIG_ON: true },
    Object.fromEntries(specs.map((s, i) => [`spec${i}`, s])),
  );

const awkward = abi({
  structs: `
    typedef unsigned char u8; typedef unsigned long long u64;
    struct late { struct inner by_value; char c; };
    struct inner { char a; long b; short c; };
    typedef struct { int counter; } atomic_t;
    union either { char bytes[5]; int word; struct { short s; u64 q; } both; };
    struct bits { unsigned a:3; unsigned b:7; unsigned c:25; u8 d:2; u8 :0; u8 e:3; unsigned long f:40; long g;
      u8 h:1; };
    struct packed { u8 a; u64 b; u8 c; struct inner i; } __packed;
    struct aligned { u8 a; } __aligned(64);
    struct member_aligned { u8 a; u8 b __aligned(16); u8 c; };
    struct anonymous { int x; union { struct { int p, q; }; long r; u8 s:4; }; struct { char t; };
      int y[CONFIG_N * 2]; };
    struct pointers { void *p; struct unknown *u; int (*f)(struct inner *, int); char **argv;
      int (*vec[4])(void);
      struct inner *many[2]; };
    enum color { RED, GREEN = 5, BLUE };
    struct mixed { enum color color; atomic_t count; _Bool flag; char name[BLUE]; long double_dim[2][3];
      u8 tail[]; };
    struct empty_end { char c; struct aligned a; char d; };
  `,
});

describe("layout", () => {
  it.skipIf(!gcc)("agrees with gcc on awkward structs", () => {
    expect(askGcc(layoutOf(awkward))).toBe("");
  });

  it.skipIf(!gcc)("would notice a wrong offset", () => {
    const layout = layoutOf(awkward);
    const def = layout.decls.structs.get("inner");
    if (!def) throw new Error("no struct inner");
    (layout.structLayout(def).fields[1] as { offset: number }).offset = 4;
    expect(askGcc(layout)).toContain("offsetof(struct inner, b)");
  });

  it.skipIf(!gcc).each(["production", "capture", "purgatory"] as const)(
    "agrees with gcc on every struct of %s",
    async (t) => {
      expect(askGcc(await loadLayout(t))).toBe("");
    },
  );

  it("places symbols by section, aligned, per-CPU ones from 0", () => {
    const layout = layoutOf(
      abi({
        rodata: "char banner[5];",
        data: "long a; char b; struct { long x[9]; } big;",
        page_aligned: "char table[4096];",
        bss: "int z __aligned(64);",
        percpu: "int first; long second;",
        init: { banner: "abcd", b: 7, second: -1 },
        aliases: { other: "table" },
      }),
    );
    const at = (name: string) => layout.symbols.get(name)?.offset;
    expect([at("banner"), at("a"), at("b"), at("big")]).toEqual([0, 64, 72, 80]);
    expect([at("first"), at("second"), layout.percpu]).toEqual([0, 8, { offset: 192, size: 64 }]);
    expect([at("table"), at("other"), at("z"), layout.dataEnd]).toEqual([4096, 4096, 8192, 12288]);
    expect(new TextDecoder().decode(layout.data.slice(0, 5))).toBe("abcd\0");
    expect(layout.data[72]).toBe(7);
    expect([...layout.data.slice(200)]).toEqual(Array(8).fill(255));
  });

  it("evaluates constants: expressions, enums, config, sizeof", () => {
    const layout = layoutOf(
      awkward,
      abi({
        defines: {
          A: "1 << (CONFIG_N + 1)",
          B: "sizeof(struct inner) * BLUE",
          C: "~0 & 0xff",
          D: "-(A | 1)",
          E: 1n << 63n,
        },
      }),
    );
    expect(["A", "B", "C", "D", "E"].map((n) => layout.constant(n))).toEqual([
      16n,
      144n,
      255n,
      -17n,
      1n << 63n,
    ]);
  });

  it.each([
    ["struct a { int x; int x; };", "member x stands twice"],
    ["struct a { struct b b; };", "struct b is used by value but never defined"],
    ["struct a { struct a a; };", "struct a contains itself"],
    ["struct a { int x; }; struct a { int y; };", "struct a is defined twice"],
    ["struct a { wrong x; };", "unknown type wrong"],
    ["struct a { int x[NONE]; };", "unknown constant NONE"],
    ["struct a { int x", "expected ';'"],
    ["struct a { unsigned short int long x; };", "no such base type"],
    ["int x;", "a variable among the types"],
    ["struct a { int x:33; };", "wider than its type"],
    ["struct a { int x @ 3; };", "unexpected character '@'"],
  ])("refuses %s", (structs, message) => {
    expect(() => layoutOf(abi({ structs }))).toThrow(message);
  });

  it("refuses bad symbols and initial bytes", () => {
    expect(() => layoutOf(abi({ data: "int a; int a;" }))).toThrow("symbol a is declared twice");
    expect(() => layoutOf(abi({ init: { nobody: 1 } }))).toThrow("no symbol nobody");
    expect(() => layoutOf(abi({ bss: "int a;", init: { a: 1 } }))).toThrow("no bytes in the image");
    expect(() => layoutOf(abi({ data: "char a[2];", init: { a: "ab" } }))).toThrow(
      "3 bytes, the symbol only 2",
    );
    expect(() => layoutOf(abi({ aliases: { a: "b" } }))).toThrow("alias a: no symbol b");
    expect(() => layoutOf(abi({ defines: { A: "A + 1" } }))).toThrow("unknown constant A");
  });
});
