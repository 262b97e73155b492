import { describe, expect, it } from "vitest";
import { parseNotes, readPrstatus } from "../../tools/dump/notes.ts";
import { VmcoreInfo } from "../../tools/dump/vmcoreinfo.ts";
import { bytesOf, concat, note, prstatusNote, textOf } from "../support/vmcore.ts";

describe("parseNotes", () => {
  it("reads names, types and descriptors over the padding", () => {
    const { notes, problems } = parseNotes(
      concat(note("CORE", 1, bytesOf("abcde")), note("X", 7, bytesOf(""))),
    );
    expect(problems).toEqual([]);
    expect(notes.map((n) => [n.name, n.type, textOf(n.descriptor)])).toEqual([
      ["CORE", 1, "abcde"],
      ["X", 7, ""],
    ]);
  });

  it("ends at an all-zero header, as crash_notes do", () => {
    const { notes, problems } = parseNotes(
      concat(note("A", 1, bytesOf("x")), new Uint8Array(12), note("B", 2, bytesOf("y"))),
    );
    expect(notes.map((n) => n.name)).toEqual(["A"]);
    expect(problems).toEqual([]);
  });

  it("tells of a note that claims more than is left, and keeps those before it", () => {
    const whole = concat(note("A", 1, bytesOf("x")), note("B", 2, bytesOf("0123456789")));
    const { notes, problems } = parseNotes(whole.subarray(0, whole.length - 8));
    expect(notes.map((n) => n.name)).toEqual(["A"]);
    expect(problems[0]).toContain("the note at 0x14 of its segment claims n_namesz=0x2, n_descsz=0xa");
  });

  it("gives up at once on sizes of 4 GiB", () => {
    const absurd = new Uint8Array(64).fill(0xff);
    expect(parseNotes(absurd).notes).toEqual([]);
    expect(parseNotes(absurd).problems).toHaveLength(1);
  });
});

describe("readPrstatus", () => {
  it("names the registers", () => {
    const [parsed] = parseNotes(prstatusNote(42, { ip: 0xffffffff80100123n, r15: 1n, gs: 2n })).notes;
    const status = parsed && readPrstatus(parsed);
    expect(status?.pid).toBe(42);
    expect(status?.registers.ip).toBe(0xffffffff80100123n);
    expect(status?.registers.r15).toBe(1n);
    expect(status?.registers.gs).toBe(2n);
  });

  it("refuses another size, as gdb does", () => {
    expect(readPrstatus({ name: "CORE", type: 1, descriptor: new Uint8Array(328) })).toBeNull();
  });
});

describe("VmcoreInfo", () => {
  const info = new VmcoreInfo(
    "core",
    "OSRELEASE=5.15.0-x\nSYMBOL(prb)=ffffffff80203920\nSIZE(page)=64\nOFFSET(page.flags)=0\n" +
      "LENGTH(zone.free_area)=11\nNUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129\nNUMBER(mask)=0xff\n" +
      "SYMBOL(bad)=xyz\nSIZE(bad)=-1\n",
  );

  it("reads each kind of line", () => {
    expect(info.value("OSRELEASE")).toBe("5.15.0-x");
    expect(info.symbol("prb")).toBe(0xffffffff80203920n);
    expect(info.size("page")).toBe(64);
    expect(info.offset("page.flags")).toBe(0);
    expect(info.length("zone.free_area")).toBe(11);
    expect(info.number("PAGE_BUDDY_MAPCOUNT_VALUE")).toBe(-129n);
    expect(info.number("mask")).toBe(255n);
    expect(info.numberOr("sme_mask", 0n)).toBe(0n);
  });

  it("names a line that is missing or malformed", () => {
    expect(() => info.size("prb_desc")).toThrow(/VMCOREINFO: the line SIZE\(prb_desc\) is missing/);
    expect(() => info.symbol("bad")).toThrow(/SYMBOL\(bad\) has the value "xyz"/);
    expect(() => info.size("bad")).toThrow(/SIZE\(bad\) has the value "-1"/);
  });
});
