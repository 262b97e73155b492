/** DWARF of gcc and of our own link step: sizes, offsets, lengths, whole and damaged. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ByteSource, MemoryBytes } from "../../tools/dump/bytes.ts";
import { DumpError } from "../../tools/dump/error.ts";
import { DebugInfo } from "../../tools/dwarf/debug-info.ts";
import { ElfFile } from "../../tools/dwarf/elf.ts";
import { built } from "../support/boot.ts";
import { describeStock, run, stock } from "../support/stock.ts";

const WANTED = {
  types: ["outer", "outer_t", "inner", "zone", "page", "new_utsname", "nodemask_t", "only_declared", "none"],
  variables: ["variable", "pointer", "matrix", "late", "hidden", "node_data", "absent"],
  enumerators: ["NR_FREE_PAGES", "NR_NEGATIVE", "PG_swapcache", "HUGETLB_PAGE_DTOR", "NOBODY"],
};

async function open(source: ByteSource): Promise<DebugInfo> {
  const debug = await DebugInfo.open(await ElfFile.open(source));
  await debug.find(WANTED);
  return debug;
}

const FLAVOURS = [
  "-gdwarf-2 -gstrict-dwarf",
  "-gdwarf-3",
  "-gdwarf-4",
  "-gdwarf-5",
  "-gdwarf-5 -gdwarf64",
  "-gdwarf-5 -gz=zlib",
  "-gdwarf-5 -fdebug-types-section",
  "-g3 -O2",
];

describeStock(["gcc"], "what gcc wrote", () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "wkdump-dwarf-"));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  describe.each(FLAVOURS)("%s", (flavour) => {
    let debug: DebugInfo;
    let truth: Map<string, number>;

    beforeAll(async () => {
      const program = join(directory, flavour.replaceAll(/\W/g, ""));
      const source = join(import.meta.dirname, "sample.c");
      const compiled = stock("gcc", ["-no-pie", ...flavour.split(" "), "-o", program, source]);
      expect(compiled.status, compiled.output).toBe(0);
      const lines = run(program, []).stdout.trim().split("\n");
      truth = new Map(
        lines.map((line) => line.split(" ") as [string, string]).map(([a, b]) => [a, Number(b)]),
      );
      debug = await open(new MemoryBytes(program, readFileSync(program)));
    });

    const structure = async (name: string) => (await debug.structure(name))!;
    const shapeOf = async (name: string) => debug.shape((await debug.variable(name))!);
    const shapeIn = async (type: string, name: string) =>
      debug.shape((await debug.member(await structure(type), name))!.entry);

    it("sizes and offsets are the compiler's own", async () => {
      expect(truth.size).toBeGreaterThan(15);
      for (const [name, value] of truth) {
        const [type = "", member] = name.split(".");
        const found = await structure(type);
        if (member === undefined) expect([name, await debug.size(found)]).toEqual([name, value]);
        else expect([name, (await debug.member(found, member))?.offset]).toEqual([name, value]);
      }
    });

    it("a typedef leads to its structure, a declaration and an unknown name to none", async () => {
      expect((await debug.structure("outer_t"))!.offset).toBe((await structure("outer")).offset);
      expect(await debug.size((await debug.typedef("nodemask_t"))!)).toBe(8);
      expect(await debug.structure("only_declared")).toBeNull();
      expect(await debug.structure("none")).toBeNull();
      expect(await debug.variable("absent")).toBeNull();
      expect(await debug.member(await structure("outer"), "nothing")).toBeNull();
    });

    it("variables and members by the chain of their types", async () => {
      const plain = { array: false, pointer: false, structure: false, base: false, length: null };
      const size = truth.get("outer")!;
      expect(await shapeOf("variable")).toMatchObject({ ...plain, structure: true, name: "outer", size });
      const pointer = { ...plain, pointer: true };
      expect(await shapeOf("pointer")).toMatchObject({ ...pointer, structure: true, name: "outer", size });
      expect(await shapeOf("hidden")).toMatchObject({ ...pointer, structure: true, size: null });
      expect(await shapeOf("matrix")).toMatchObject({
        ...plain,
        array: true,
        base: true,
        length: 12,
        size: 8,
      });
      // First declared without a length.
      expect(await shapeOf("late")).toMatchObject({ array: true, length: 24, name: "char", size: 1 });
      expect(await shapeOf("node_data")).toMatchObject({
        array: true,
        pointer: true,
        length: 2,
        name: "zone",
      });
      expect(await shapeIn("outer", "opaque")).toMatchObject({ ...pointer, name: "void" });
      expect(await shapeIn("outer", "text")).toMatchObject({ ...pointer, base: true, name: "char", size: 1 });
      expect(await shapeIn("outer", "many")).toMatchObject({ array: true, pointer: false, length: 4 });
      expect(await shapeIn("outer", "pointers")).toMatchObject({ array: true, pointer: true, length: 2 });
      expect(await shapeIn("outer", "tail")).toMatchObject({ array: true, length: null });
      expect(await shapeIn("inner", "deep")).toMatchObject({ array: true, length: 15, size: 1 });
    });

    it("enumerators of every length and sign", () => {
      const values = WANTED.enumerators.map((name) => debug.enumerator(name));
      expect(values).toEqual([7n, -3n, 300n, 0x123456789n, null]);
    });
  });

  it("names by number, lengths by count, no siblings: clang's forms", async () => {
    const object = join(directory, "strx.o");
    const assembled = stock("gcc", ["-c", "-o", object, join(import.meta.dirname, "strx.s")]);
    expect(assembled.status, assembled.output).toBe(0);
    const debug = await open(new MemoryBytes(object, readFileSync(object)));
    const outer = (await debug.structure("outer"))!;
    expect(await debug.size(outer)).toBe(24);
    expect((await debug.member(outer, "first"))!.offset).toBe(0);
    const second = (await debug.member(outer, "second"))!;
    expect(second.offset).toBe(8);
    expect(await debug.shape(second.entry)).toMatchObject({ array: true, length: 2, size: 8, name: "long" });
    const variable = await debug.shape((await debug.variable("variable"))!);
    expect(variable).toMatchObject({ structure: true, name: "outer", size: 24 });
    expect(debug.enumerator("PG_swapcache")).toBe(300n);
  });

  it("a structure that one unit declares and another one defines", async () => {
    const program = join(directory, "units");
    const source = join(import.meta.dirname, "sample.c");
    const other = "struct only_declared { char room[48]; } it; struct only_declared *hidden_too = &it;";
    writeFileSync(join(directory, "other.c"), other);
    const files = [source, join(directory, "other.c")];
    expect(stock("gcc", ["-g", "-no-pie", "-o", program, ...files]).status).toBe(0);
    const debug = await DebugInfo.open(await ElfFile.open(new MemoryBytes(program, readFileSync(program))));
    await debug.find({ types: [], variables: ["hidden"], enumerators: [] });
    const shape = await debug.shape((await debug.variable("hidden"))!);
    expect(shape).toMatchObject({ pointer: true, structure: true, name: "only_declared", size: 48 });
  });
});

describe("our own vmlinux", () => {
  const file = readFileSync(built("vmlinux"));
  const bytesOf = (): Uint8Array<ArrayBuffer> => new Uint8Array(file);

  it("has its structures and symbols", async () => {
    const debug = await open(new MemoryBytes("vmlinux", file));
    const page = (await debug.structure("page"))!;
    expect(await debug.size(page)).toBe(64);
    expect((await debug.member(page, "compound_order"))?.offset).toBe(17);
    expect(debug.enumerator("NR_FREE_PAGES")).toBe(0n);
    const symbols = await debug.elf.symbols(["_stext", "linux_banner", "no_such_symbol"]);
    expect(symbols.get("_stext")).toBe(0xffffffff80100100n);
    expect([...symbols.keys()].sort()).toEqual(["_stext", "linux_banner"]);
    const banner = (await debug.elf.readVirtual(symbols.get("linux_banner")!, 13))!;
    expect(new TextDecoder().decode(banner)).toBe("Linux version");
    expect(await debug.elf.readVirtual(1n << 40n, 8)).toBeNull();
  });

  it.each([
    ["no ELF file", (b: Uint8Array) => b.fill(0, 0, 4), /vmlinux, offset 0x0: the file does not begin/],
    ["32 bit", (b: Uint8Array) => b.fill(1, 4, 5), /offset 0x4: ELF class 1/],
    ["no sections", (b: Uint8Array) => b.fill(0, 40, 48), /offset 0x28: no section headers/],
    ["cut off", (b: Uint8Array) => b.subarray(0, 300000), /section header|the file has 0x493e0 bytes/],
  ])("%s: says so", async (_, damage, message) => {
    await expect(open(new MemoryBytes("vmlinux", damage(bytesOf())))).rejects.toThrow(message);
  });

  it("damage anywhere in it ends in an answer or an error with its place", async () => {
    const elf = await ElfFile.open(new MemoryBytes("vmlinux", file));
    const parts = [".debug_info", ".debug_abbrev", ".debug_str", ".symtab"].map(
      (it) => elf.sections.find((s) => s.name === it)!,
    );
    let state = 12345;
    const random = (n: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return (state >>> 8) % n;
    };
    let errors = 0;
    for (let n = 0; n < 150; n++) {
      const bytes = bytesOf();
      for (let m = 0; m < 1 + random(20); m++) {
        const { offset, size } = parts[random(parts.length)]!;
        // The start of a section has what the rest depends on.
        const at = random(2) === 0 ? random(Math.min(size, 600)) : random(size);
        bytes[offset + at] = [0, 0xff, 0x7f, 0x80, random(256)][random(5)]!;
      }
      try {
        const debug = await open(new MemoryBytes("vmlinux", bytes));
        for (const name of WANTED.types) {
          const type = await debug.structure(name);
          if (type !== null) await debug.member(type, "nothing");
        }
      } catch (error) {
        expect(error).toBeInstanceOf(DumpError);
        errors++;
      }
    }
    expect(errors).toBeGreaterThan(20);
  }, 60_000);
});
