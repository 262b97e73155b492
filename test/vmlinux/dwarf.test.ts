import { describe, expect, it } from "vitest";
import { Die, encodeUnit, number, ref, text } from "../../tools/vmlinux/dwarf.ts";
import { encodeFrames, frameKind } from "../../tools/vmlinux/frame.ts";
import { encodeLines } from "../../tools/vmlinux/line.ts";

describe("debugging information", () => {
  const unit = () => {
    const root = new Die("compile_unit", { name: text("a.ts") });
    const later = new Die("base_type", { name: text("int"), byte_size: number(4) });
    root.add(new Die("typedef", { name: text("a.ts"), type: ref(later) }));
    root.add(later);
    root.add(new Die("base_type", { name: text("x"), byte_size: number(200) }));
    return { root, later };
  };

  it("counts abbreviations from 1 without gaps, and uses each form once", () => {
    const { abbrev } = encodeUnit(unit().root);
    expect([...abbrev]).toEqual([
      ...[1, 0x11, 1, 0x03, 0x0e, 0, 0],
      ...[2, 0x16, 0, 0x03, 0x0e, 0x49, 0x13, 0, 0],
      ...[3, 0x24, 0, 0x03, 0x0e, 0x0b, 0x0f, 0, 0],
      0,
    ]);
  });

  it("has each string once and references forwards", () => {
    const { root, later } = unit();
    const { info, str } = encodeUnit(root);
    expect(new TextDecoder().decode(str)).toBe("a.ts\0int\0x\0");
    const view = new DataView(info.buffer);
    expect(view.getUint32(0, true)).toBe(info.length - 4);
    expect(view.getUint16(4, true)).toBe(4);
    // Header 11, root 1 + 4, typedef 1 + 4, then the reference.
    expect(view.getUint32(21, true)).toBe(later.offset);
    expect(info[later.offset]).toBe(3);
  });

  it("is the same for the same tree", () => {
    expect(encodeUnit(unit().root)).toEqual(encodeUnit(unit().root));
  });
});

describe("the line table", () => {
  it("leaves out functions without lines, and goes backwards in a file where the source does", () => {
    const rows = [
      { address: 0x10n, file: 1, line: 300, column: 0 },
      { address: 0x14n, file: 2, line: 5, column: 7 },
    ];
    const empty = encodeLines(["a.ts"], [{ rows: [], end: 9n }]);
    const table = encodeLines(
      ["a.ts", "b.ts"],
      [
        { rows: [], end: 9n },
        { rows, end: 0x20n },
      ],
    );
    expect(new DataView(table.buffer).getUint32(0, true)).toBe(table.length - 4);
    expect(new DataView(empty.buffer).getUint32(0, true)).toBe(empty.length - 4);
    const program = [
      ...[0, 9, 2, 0x10, 0, 0, 0, 0, 0, 0, 0],
      ...[3, 0xab, 2, 1],
      ...[2, 4, 4, 2, 5, 7, 3, 0xd9, 0x7d, 1],
      ...[2, 12, 0, 1, 1],
    ];
    expect([...table.slice(-program.length)]).toEqual(program);
    expect([...empty].slice(-2)).toEqual([0, 0]);
  });
});

describe("call frames", () => {
  it.each([
    ["panic", false, "framed"],
    ["entry_SYSCALL_64_after_hwframe", true, "outermost"],
    ["ret_from_fork", true, "outermost"],
    ["asm_exc_page_fault", true, "exception"],
    ["asm_exc_nmi", true, "exception"],
    ["asm_sysvec_apic_timer_interrupt", true, "interrupt"],
    ["__switch_to_asm", true, "switched"],
  ])("%s, entry %s: %s", (name, isEntry, kind) => {
    expect(frameKind(name, isEntry)).toBe(kind);
  });

  it("of an exception lead on to the registers in pt_regs", () => {
    const all = encodeFrames([{ address: 0n, size: 6, kind: "exception", area: 0 }]);
    const rules = [...all.slice(24 + 24)];
    // The CFA is behind the struct: ip at 128 of 168 bytes, sp at 152, bp at 32.
    expect(rules.slice(0, 4)).toEqual([0x0c, 7, 0xa8, 1]);
    expect(rules).toEqual(expect.arrayContaining([0x80 | 16, 5, 0x80 | 7, 2, 0x80 | 6, 17]));
  });

  it("of an interrupt do so by the word at rsp", () => {
    const all = encodeFrames([{ address: 0n, size: 6, kind: "interrupt", area: 0 }]);
    const rules = [...all.slice(24 + 24)];
    // DW_OP_breg7 0, DW_OP_deref, DW_OP_plus_uconst 168.
    expect(rules.slice(0, 8)).toEqual([0x0f, 6, 0x77, 0, 0x06, 0x23, 0xa8, 1]);
    expect(rules).toEqual(expect.arrayContaining([0x80 | 16, 5, 0x80 | 7, 2, 0x80 | 6, 17]));
  });

  const fde = (kind: "framed" | "outermost", size: number): number[] => {
    const all = encodeFrames([{ address: 0x1000n, size, kind, area: 0 }]);
    const cie = 4 + new DataView(all.buffer).getUint32(0, true);
    expect((all.length - cie) % 8).toBe(0);
    return [...all.slice(cie + 24)];
  };

  it("of a framed function are found by rbp between prologue and ret", () => {
    const rules = [0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6];
    expect(fde("framed", 6).slice(0, 12)).toEqual([...rules, 0x41, 0x0c, 7, 8]);
    expect(fde("framed", 5 + 63).slice(8, 12)).toEqual([0x40 | 63, 0x0c, 7, 8]);
    expect(fde("framed", 5 + 64).slice(8, 14)).toEqual([0x03, 64, 0, 0x0c, 7, 8]);
    expect(fde("framed", 5 + 1000).slice(8, 14)).toEqual([0x03, 1000 & 255, 3, 0x0c, 7, 8]);
  });

  it("of an outermost one end the stack", () => {
    expect(fde("outermost", 6).slice(0, 4)).toEqual([0x07, 16, 0x07, 6]);
  });
});
