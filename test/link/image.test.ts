/** The image that link() makes: header, layout, text skeleton, symbols, kallsyms. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { ImageError, imageDigest, readImageHeader } from "../../runtime/boot/image.ts";
import { type FunctionInfo, type LinkOutput, NO_TABLE_INDEX, TEXT_MAGIC } from "../../runtime/link/index.ts";
import { findCommand, run } from "../support/stock.ts";
import { type Compiled, compile, linkCompiled, PRELUDE, Rig, sha256 } from "./support.ts";

const LINK = 0xffffffff80100000n;
const SOURCE = `${PRELUDE}
@external("link", "sym__text") declare function sym__text(): usize;
@external("link", "sym__end") declare function sym__end(): usize;
@external("link", "sym___wasm_start") declare function sym___wasm_start(): usize;
@external("link", "sym_kexec_purgatory") declare function sym_kexec_purgatory(): usize;
@external("link", "sym_kexec_purgatory_end") declare function sym_kexec_purgatory_end(): usize;
@external("link", "sym_kallsyms_num_syms") declare function sym_kallsyms_num_syms(): usize;
@external("link", "sym_linux_banner") declare function sym_linux_banner(): usize;
@unmanaged class list_head {
  next: u32;
  add(n: u32): void { out8(1, n); this.next = n; }
  get first(): u32 { return in8(this.next); }
  static empty(l: list_head): bool { return in8(l.next) == 0; }
}
function generic<T>(x: T): T { out8(<i32>x, 1); return x; }
function noreturn(x: i32): void { out8(x, 0); unreachable(); }
function one(x: i32): i32 { return in8(x) + 1; }
function two(x: i32): i32 { out8(x, 5); return in8(x) + 2; }
namespace inner { export function one(x: i32): i32 { return in8(x) + 3; } }
function leaf(x: i32): i32 { return x * 7 + 1; }
function swapgs(x: i32): i32 { return one(x) + call_indirect<i32>(x, x); }
export function start_kernel(x: i32): i32 {
  const l = changetype<list_head>(x);
  l.add(4);
  if (list_head.empty(l)) noreturn(l.first);
  const f = x ? text_address(changetype<usize>(one)) : text_address(changetype<usize>(two));
  out8(<i32>f, <i32>text_address(changetype<usize>(inner.one)));
  const sum = <i32>generic<i64>(x) + generic<i32>(x) + inner.one(x) + leaf(x);
  return sum + swapgs(x) + call_indirect<i32>(x, x);
}
export function symbol(which: i32): i32 {
  switch (which) {
    case 0: return sym__text();
    case 1: return sym__end();
    case 2: return sym___wasm_start();
    case 3: return sym_kexec_purgatory();
    case 4: return sym_kexec_purgatory_end();
    case 5: return sym_kallsyms_num_syms();
    case 6: return sym_linux_banner();
  }
  return load<i32>(__base + 0x100);
}`;
const OPTIONS = { blobs: { kexec_purgatory: new Uint8Array(1001).fill(0xab) }, entry: ["swapgs"] };

let compiled: Compiled;
let output: LinkOutput;
let view: DataView;

beforeAll(async () => {
  compiled = await compile(SOURCE);
  output = linkCompiled(compiled, OPTIONS);
  view = new DataView(output.image.buffer);
});

const functionOf = (name: string): FunctionInfo => {
  const found = output.functions.filter((it) => it.name === name);
  expect(found.length, name).toBeGreaterThan(0);
  return found[0] as FunctionInfo;
};
const symbolAt = (name: string): bigint => {
  const line = output.systemMap.split("\n").find((it) => it.endsWith(` ${name}`));
  return BigInt(`0x${(line ?? "").slice(0, 16)}`);
};

describe("an image", () => {
  it("has the header that it says, with the digest of the file", () => {
    const header = readImageHeader(view, 0, output.image.length);
    expect(header).toEqual(output.header);
    expect(header.digest).toEqual(imageDigest(output.image, sha256));
    expect(header.release).toBe("5.15.0-wasm");
    expect(header.fileSize).toBe(output.image.length);
    expect(header.stackOffset % 0x4000).toBe(0);
    expect(header.stackOffset - header.endOffset).toBeLessThan(0x8000);
    expect(header.memSize).toBe(header.stackOffset);
    expect(header.stackOffset - 0x4000).toBeGreaterThanOrEqual(header.endOffset);
    expect(header.dataOffset % 0x1000).toBe(0);
  });

  it("holds the module, blobs and data", () => {
    const { header, image, wasm } = output;
    expect(image.subarray(header.wasmOffset, header.wasmOffset + header.wasmSize)).toEqual(wasm);
    expect(new TextDecoder().decode(image.subarray(header.dataOffset, header.dataOffset + 13))).toBe(
      "Linux version",
    );
    const blob = Number(symbolAt("kexec_purgatory") - LINK);
    expect(blob % 16).toBe(0);
    expect(image.subarray(blob, blob + 1001)).toEqual(OPTIONS.blobs.kexec_purgatory);
    expect(Number(symbolAt("kexec_purgatory_end") - LINK)).toBe(blob + 1001);
  });

  it("resolves sym_ intrinsics, at any load address", () => {
    for (const load of [0x100000, 0x230000]) {
      const rig = new Rig(output, {}, load);
      const names = ["_text", "_end", "__wasm_start", "kexec_purgatory", "kexec_purgatory_end"];
      names.push("kallsyms_num_syms", "linux_banner");
      names.forEach((name, which) => {
        expect(rig.call("symbol", which) - load, name).toBe(Number(symbolAt(name) - LINK));
      });
    }
  });

  it("of purgatory says where its parameters lie", () => {
    const { header } = linkCompiled(compiled, { ...OPTIONS, type: "purgatory", paramsSymbol: "jiffies_64" });
    expect(header.type).toBe(1);
    expect(header.paramsOffset).toBe(header.dataOffset + 0x100);
    expect(output.header).toMatchObject({ type: 0, paramsOffset: 0 });
  });

  it("is the same, byte for byte, every time", async () => {
    const again = linkCompiled(await compile(SOURCE), OPTIONS);
    expect(again.image).toEqual(output.image);
    expect(again.systemMap).toBe(output.systemMap);
    expect(again.lines).toEqual(output.lines);
  });

  it("has no data, custom or start section, and only true imports", () => {
    const module = new WebAssembly.Module(output.wasm as BufferSource);
    expect(WebAssembly.Module.customSections(module, "name")).toEqual([]);
    const imports = WebAssembly.Module.imports(module).map((it) => `${it.module}.${it.name}`);
    expect(imports.sort()).toEqual(["env.__base", "env.memory", "hw.in8", "hw.out8"]);
    const sections: number[] = [];
    for (let at = 8; at < output.wasm.length; ) {
      sections.push(output.wasm[at++] as number);
      let size = 0;
      for (let shift = 0; ; shift += 7) {
        const byte = output.wasm[at++] as number;
        size |= (byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
      at += size;
    }
    expect(sections).toEqual([1, 2, 3, 4, 6, 7, 9, 10]);
  });

  it("is refused when it is damaged, by the reader of its header", () => {
    const damaged = (at: number, value: number, size = output.image.length) => {
      const copy = output.image.slice(0, size);
      new DataView(copy.buffer).setUint32(at, value, true);
      return () => readImageHeader(new DataView(copy.buffer), 0, copy.length);
    };
    expect(damaged(0, 0)).toThrow("this is not a kernel image");
    expect(damaged(8, 2)).toThrow("image version 2");
    expect(damaged(12, 7)).toThrow("image type 7");
    expect(damaged(8, 1, output.image.length - 1)).toThrow(/truncated/);
    expect(damaged(8, 1, 200)).toThrow("200 bytes are too few");
    for (const offset of [0x18, 0x1c, 0x20, 0x24, 0x28, 0x2c, 0x30, 0x34, 0x38, 0x3c]) {
      expect(damaged(offset, 0xfffff001), `field at ${offset}`).toThrow(ImageError);
    }
  });
});

describe("the text section", () => {
  it("has a header before each function, with its slot in the table", () => {
    for (const { address, name } of output.functions) {
      expect(address % 16, name).toBe(0);
      expect(view.getUint32(address - 8, true), name).toBe(TEXT_MAGIC);
    }
    const slot = (name: string) => view.getUint32(functionOf(name).address - 4, true);
    expect(slot("leaf")).toBe(NO_TABLE_INDEX);
    expect(slot("out8")).toBe(NO_TABLE_INDEX);
    expect(new Set([slot("one"), slot("two"), slot("inner_one")]).size).toBe(3);
    expect(slot("two")).toBeLessThan(4);
  });

  it("calls what the program calls, and return addresses lie inside their functions", () => {
    const byAddress = new Map(output.functions.map((it) => [it.address, it.name]));
    let direct = 0;
    for (const { name, address, size, callSites } of output.functions) {
      for (const site of callSites) {
        expect(site.returnAddress, name).toBeGreaterThan(address);
        expect(site.returnAddress, name).toBeLessThan(address + size);
        if (site.callee === null) {
          expect([view.getUint8(site.address), view.getUint8(site.address + 1)]).toEqual([0xff, 0xd0]);
          continue;
        }
        direct++;
        expect(view.getUint8(site.address)).toBe(0xe8);
        expect(site.returnAddress).toBe(site.address + 5);
        expect(byAddress.get(site.returnAddress + view.getInt32(site.address + 1, true))).toBe(site.callee);
      }
    }
    expect(direct).toBeGreaterThan(15);
    expect(functionOf("swapgs").callSites.map((it) => it.callee)).toEqual(["one", null]);
    expect(functionOf("two").callSites.map((it) => it.callee)).toEqual(["out8", "in8"]);
    // The select of two function references became one call of the helper.
    expect(functionOf("start_kernel").callSites.map((it) => it.callee)).toContain("text_address");
  });

  it("knows where calls and functions stand in the source", () => {
    const lines = SOURCE.split("\n");
    const textOf = (address: number) => {
      const found = output.lines.find((it) => it.address === address);
      expect(found?.file).toBe("kernel/t.ts");
      return lines[(found?.line ?? 0) - 1];
    };
    for (const name of ["one", "two", "swapgs", "noreturn"]) {
      const { address, callSites } = functionOf(name);
      expect(textOf(address)).toContain(`function ${name}(`);
      for (const site of callSites) expect(textOf(site.address)).toContain(`function ${name}(`);
    }
    const calls = functionOf("start_kernel").callSites;
    expect(textOf(calls.find((it) => it.callee === "noreturn")?.address ?? 0)).toContain("noreturn(l.first)");
    expect(textOf(calls.find((it) => it.callee === "leaf")?.address ?? 0)).toContain("leaf(x)");
    const addresses = output.lines.map((it) => it.address);
    expect(addresses).toEqual([...addresses].sort((a, b) => a - b));
    expect(new Set(addresses).size).toBe(addresses.length);
  });

  const objdump = findCommand("objdump") !== null;
  if (!objdump && process.env.CI === "true") throw new Error("objdump is required where CI=true");

  it.skipIf(!objdump)("disassembles as code, with nothing bad in it (objdump)", () => {
    const dir = mkdtempSync(join(tmpdir(), "wkdump-text-"));
    try {
      writeFileSync(join(dir, "text"), output.image.subarray(0x100, output.header.wasmOffset));
      const args = [
        "-D",
        "-b",
        "binary",
        "-m",
        "i386:x86-64",
        "--adjust-vma=0x80100100",
        "--no-show-raw-insn",
      ];
      const { stdout, status } = run("objdump", [...args, join(dir, "text")]);
      expect(status).toBe(0);
      expect(stdout).not.toContain("(bad)");
      const at = new Map(
        [...stdout.matchAll(/^\s*([0-9a-f]+):\s+(.*?)\s*$/gm)].map(([, address, text]) => [
          Number.parseInt(address as string, 16) - 0x80100000,
          (text as string).replace(/\s+/g, " "),
        ]),
      );
      for (const { name, address, size, callSites, codeStart } of output.functions) {
        const header = at.get(address - 8);
        expect(header, name).toMatch(/^nopl (-?0x)?[0-9a-f]+\(%rax,%rax,1\)$/);
        const last = at.get(address + size - 1);
        expect(last).toBe("ret");
        if (codeStart >= 0 && name !== "swapgs") {
          expect([at.get(address), at.get(address + 1)]).toEqual(["push %rbp", "mov %rsp,%rbp"]);
          expect(at.get(address + size - 2)).toBe("pop %rbp");
        }
        for (const site of callSites) {
          if (site.callee === null) expect(at.get(site.address)).toBe("call *%rax");
          else {
            const target = /^call 0x([0-9a-f]+)$/.exec(at.get(site.address) ?? "")?.[1] ?? "0";
            const callee = output.functions.find(
              (it) => it.address === Number.parseInt(target, 16) - 0x80100000,
            );
            expect(callee?.name).toBe(site.callee);
          }
        }
      }
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describe("symbols", () => {
  it("have the names that C would give them", () => {
    const names = output.functions.map((it) => it.name);
    for (const name of [
      "list_head_add",
      "list_head_get_first",
      "list_head_empty",
      "inner_one",
      "generic.i64",
    ]) {
      expect(names).toContain(name);
    }
    for (const name of names) expect(name).toMatch(/^[A-Za-z_][A-Za-z0-9_.$]*$/);
  });

  it("make a System.map sorted by address, with section symbols in Linux's order", () => {
    const lines = output.systemMap.trimEnd().split("\n");
    for (const line of lines) expect(line).toMatch(/^[0-9a-f]{16} [A-Za-z] \S+$/);
    expect(lines).toEqual(
      [...lines].sort((a, b) =>
        a.slice(0, 16) < b.slice(0, 16) ? -1 : a.slice(0, 16) > b.slice(0, 16) ? 1 : 0,
      ),
    );
    const order = [
      "__per_cpu_start",
      "__per_cpu_end",
      "_text",
      "_stext",
      "start_kernel",
      "_etext",
      "__wasm_start",
    ];
    order.push(
      "__start_rodata",
      "kallsyms_offsets",
      "kexec_purgatory",
      "linux_banner",
      "__end_rodata",
      "_sdata",
    );
    order.push("jiffies_64", "swapper_pg_dir", "_edata", "__bss_start", "__bss_stop", "_end");
    expect(lines.map((it) => it.slice(19)).filter((it) => order.includes(it))).toEqual(order);
    expect(output.systemMap).toMatch(/^ffffffff80100000 T _text$/m);
    expect(output.systemMap).toMatch(/^0000000000000008 D cpu_number$/m);
    expect(output.systemMap).toMatch(/^0000000000000040 D __per_cpu_end$/m);
    expect(output.systemMap).toMatch(/ R linux_banner\n[\s\S]* B log_buf\n/);
    const base = LINK + BigInt(output.header.dataOffset);
    expect(symbolAt("jiffies_64")).toBe(base + 0x100n);
    expect(symbolAt("_end")).toBe(base + 0x2000n);
  });
});

/** Reads kallsyms as kernel/kallsyms.c of Linux 5.15 does. */
function decodeKallsyms(): string[] {
  const at = (name: string) => Number(symbolAt(name) - LINK);
  const bytes = output.image;
  const count = view.getUint32(at("kallsyms_num_syms"), true);
  const base = view.getBigUint64(at("kallsyms_relative_base"), true);
  let offset = 0;
  return Array.from({ length: count }, (_, index) => {
    if (index % 256 === 0)
      expect(view.getUint32(at("kallsyms_markers") + (index >> 8) * 4, true)).toBe(offset);
    const length = bytes[at("kallsyms_names") + offset++] as number;
    let text = "";
    for (let token = 0; token < length; token++) {
      const code = bytes[at("kallsyms_names") + offset++] as number;
      const from = at("kallsyms_token_table") + view.getUint16(at("kallsyms_token_index") + code * 2, true);
      for (let char = from; bytes[char] !== 0; char++) text += String.fromCharCode(bytes[char] as number);
    }
    const stored = view.getInt32(at("kallsyms_offsets") + index * 4, true);
    const value = stored >= 0 ? BigInt(stored) : base - 1n - BigInt(stored);
    return `${value.toString(16).padStart(16, "0")} ${text[0]} ${text.slice(1)}`;
  });
}

describe("kallsyms", () => {
  it("decodes to the text part of System.map", () => {
    const lines = output.systemMap.split("\n");
    const text = lines.filter((it) => it >= "ffffffff80100000" && / [Tt] /.test(it));
    expect(text.length).toBeGreaterThan(15);
    expect(decodeKallsyms()).toEqual(text);
  });

  it("is smaller than the names it holds", async () => {
    const many = Array.from(
      { length: 600 },
      (_, index) => `function sysrq_handle_crash_${index}(x: i32): void { out8(x, ${index}); }`,
    );
    const calls = many.map((_, index) => `sysrq_handle_crash_${index}(x);`).join("\n");
    const saved = [output, view] as const;
    output = linkCompiled(
      await compile(`${PRELUDE}\n${many.join("\n")}\nexport function all(x: i32): void { ${calls} }`, [
        "-O1",
      ]),
    );
    view = new DataView(output.image.buffer);
    const text = output.systemMap.split("\n").filter((it) => it >= "ffffffff80100000" && / [Tt] /.test(it));
    expect(text.length).toBeGreaterThan(600);
    expect(decodeKallsyms()).toEqual(text);
    const size = Number(symbolAt("kallsyms_markers") - symbolAt("kallsyms_names"));
    expect(size).toBeLessThan(text.join("").length / 8);
    [output, view] = saved;
  });

  it("is empty when it is off, and the symbols still resolve", () => {
    const without = linkCompiled(compiled, { ...OPTIONS, kallsyms: false });
    const rig = new Rig(without);
    expect(rig.view.getUint32(rig.call("symbol", 5), true)).toBe(0);
    expect(without.image.length).toBeLessThanOrEqual(output.image.length);
  });
});
