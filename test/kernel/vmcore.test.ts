/** /proc/vmcore: notes merged, loads laid out, reads and extents; and headers that are damaged. */
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { concat, DIRECT_MAP, note, prstatusNote, seededRandom, vmcoreinfoNote } from "../support/vmcore.ts";
import { compilePiece, FAKES, type Piece } from "./kexec-harness.ts";

const SOURCE = `
import { file } from "./include/generated/structs";
import { sym } from "./include/generated/symbols";
import { read_vmcore, vmcore_get_extents, vmcore_init } from "./fs/proc/vmcore";
import { is_kdump_kernel, setup_elfcorehdr } from "./kernel/crash_dump";
const none = changetype<file>(0);
export function setup(arg: usize): i32 { sym.elfcorehdr_addr = u64.MAX_VALUE; return setup_elfcorehdr(arg); }
export function addr(): f64 { return <f64>sym.elfcorehdr_addr; }
export function hdr_size(): f64 { return <f64>sym.elfcorehdr_size; }
export function kdump(): i32 { return is_kdump_kernel(); }
export function init(): i32 { return vmcore_init(); }
export function size(): f64 { return <f64>sym.vmcore_size; }
export function read(to: usize, count: usize, pos: f64): i32 {
  return <i32>read_vmcore(none, to, count, <i64>pos);
}
export function extents(to: usize, max: i32, pos: f64, len: f64): i32 {
  return <i32>vmcore_get_extents(none, <i64>pos, <u64>len, to, max);
}
`;
const ENOMEM = -12;
const EFAULT = -14;
const EINVAL = -22;
const HEADER = 0x600000;
const PT_LOAD = 1;
const PT_NOTE = 4;

interface Phdr {
  type: number;
  offset: number;
  vaddr: bigint;
  paddr: number;
  size: number;
}

describe("/proc/vmcore", () => {
  let piece: Piece;

  beforeAll(async () => {
    piece = await compilePiece("capture", SOURCE, {
      ...FAKES,
      "fs/read_write.ts": `
        import { file } from "../include/generated/structs";
        export function default_llseek(f: file, offset: i64, whence: i32): i64 { return offset; }`,
      "arch/mm/pgtable.ts": "export function user_pte_alloc(pgd: usize, addr: usize): usize { return 0; }",
      "fs/proc/generic.ts": `
        import { proc_dir_entry, proc_ops } from "../../include/generated/structs";
        export function proc_create(n: usize, m: u32, parent: proc_dir_entry, ops: proc_ops): proc_dir_entry {
          return parent;
        }`,
    });
  });

  /** Writes an elfcorehdr as the crashed kernel leaves it: p_offset is a physical address. */
  const write = (phdrs: Phdr[]) => {
    const { view, bytes } = piece;
    bytes.fill(0, HEADER, HEADER + 8192);
    bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1], HEADER);
    view.setUint16(HEADER + 16, 4, true);
    view.setUint16(HEADER + 18, 62, true);
    view.setUint32(HEADER + 20, 1, true);
    view.setBigUint64(HEADER + 32, 64n, true);
    view.setUint16(HEADER + 52, 64, true);
    view.setUint16(HEADER + 54, 56, true);
    view.setUint16(HEADER + 56, phdrs.length, true);
    phdrs.forEach((phdr, i) => {
      const at = HEADER + 64 + i * 56;
      view.setUint32(at, phdr.type, true);
      view.setUint32(at + 4, phdr.type === PT_LOAD ? 7 : 0, true);
      const words = [
        BigInt(phdr.offset),
        phdr.vaddr,
        BigInt(phdr.paddr),
        BigInt(phdr.size),
        BigInt(phdr.size),
        0n,
      ];
      words.forEach((word, j) => {
        view.setBigUint64(at + 8 + j * 8, word, true);
      });
    });
  };

  const notes = (at: number, size: number): Phdr => ({
    type: PT_NOTE,
    offset: at,
    vaddr: 0n,
    paddr: at,
    size,
  });
  const load = (paddr: number, size: number, offset = paddr): Phdr => ({
    type: PT_LOAD,
    offset,
    vaddr: DIRECT_MAP + BigInt(paddr),
    paddr,
    size,
  });
  const CPU0 = prstatusNote(7, { ip: 0xffffffff80101234n });
  const INFO = vmcoreinfoNote(["OSRELEASE=5.15.0-test"]);
  const good = () => [
    notes(0x620000, 368),
    notes(0x621000, 368),
    notes(0x622000, 4132),
    load(0x0, 0xa0000, 0x640000),
    load(0x100800, 0x1000),
    load(0x700000, 0x10000),
  ];

  beforeEach(() => {
    piece.log();
    piece.bytes.fill(0, 0x620000, 0x640000);
    piece.bytes.set(CPU0, 0x620000);
    piece.bytes.set(INFO, 0x622000);
    for (let at = 0x640000; at < 0x720000; at += 4096) piece.view.setUint32(at, at, true);
    piece.view.setBigUint64(piece.at("elfcorehdr_addr"), BigInt(HEADER), true);
  });

  const readAll = (): Uint8Array => {
    const size = piece.exports.size?.() ?? 0;
    const out = new Uint8Array(size);
    const buffer = 0x760000;
    for (let pos = 0; pos < size; ) {
      const got = piece.exports.read?.(buffer, Math.min(50000, size - pos), pos) ?? 0;
      expect(got).toBeGreaterThan(0);
      out.set(piece.bytes.subarray(buffer, buffer + got), pos);
      pos += got;
    }
    return out;
  };

  it("reads elfcorehdr=", () => {
    const cases: [string, number, number][] = [
      ["0x600000", 0, 0x600000],
      ["6144K", 0, 0x600000],
      ["4K@6M", 0, 0x600000],
    ];
    for (const [text, result, addr] of cases) {
      piece.bytes.set(Buffer.from(`${text}\0`), 0x760000);
      expect(piece.exports.setup?.(0x760000)).toBe(result);
      expect(piece.exports.addr?.()).toBe(addr);
    }
    expect(piece.exports.hdr_size?.()).toBe(4096);
    for (const text of ["", "junk", "4K@"]) {
      piece.bytes.set(Buffer.from(`${text}\0`), 0x760000);
      expect(piece.exports.setup?.(0x760000)).toBe(EINVAL);
      expect(piece.exports.kdump?.()).toBe(0);
    }
  });

  it("merges notes in front and lays the loads out page by page", () => {
    write(good());
    expect(piece.exports.init?.()).toBe(0);
    expect(piece.log()).toEqual(["<4>Warning: Zero PT_NOTE entries found"]);
    const core = readAll();
    const view = new DataView(core.buffer);
    expect(core.length).toBe(4096 + 4096 + 0xa0000 + 0x2000 + 0x10000);
    expect(view.getUint16(56, true)).toBe(4);
    const phdr = (i: number) => ({
      type: view.getUint32(64 + i * 56, true),
      offset: Number(view.getBigUint64(72 + i * 56, true)),
      paddr: Number(view.getBigUint64(88 + i * 56, true)),
      size: Number(view.getBigUint64(96 + i * 56, true)),
    });
    const merged = concat(CPU0, INFO);
    expect(phdr(0)).toEqual({ type: PT_NOTE, offset: 4096, paddr: 0, size: merged.length });
    expect(view.getBigUint64(64 + 48, true)).toBe(4n);
    expect(core.slice(4096, 4096 + merged.length)).toEqual(new Uint8Array(merged));
    expect([1, 2, 3].map((i) => phdr(i))).toEqual([
      { type: PT_LOAD, offset: 0x2000, paddr: 0, size: 0xa0000 },
      { type: PT_LOAD, offset: 0xa2800, paddr: 0x100800, size: 0x1000 },
      { type: PT_LOAD, offset: 0xa4000, paddr: 0x700000, size: 0x10000 },
    ]);
    expect(core.slice(64 + 4 * 56, 4096).every((byte) => byte === 0)).toBe(true);
    // The low range comes from its copy, the others from where they lie.
    expect(view.getUint32(0x2000 + 0x5000, true)).toBe(0x645000);
    expect(Buffer.compare(core.subarray(0xa4000), piece.bytes.subarray(0x700000, 0x710000))).toBe(0);
  });

  it("ends reads at the end and hands out extents of the same bytes", () => {
    write(good());
    piece.exports.init?.();
    const size = piece.exports.size?.() ?? 0;
    expect(piece.exports.read?.(0x760000, 100, size - 10)).toBe(10);
    expect(piece.exports.read?.(0x760000, 100, size)).toBe(0);
    const core = readAll();
    const count = piece.exports.extents?.(0x750000, 16, 100, size - 150) ?? 0;
    expect(count).toBe(5);
    const parts = Array.from({ length: count }, (_, i) => {
      const at = Number(piece.view.getBigUint64(0x750000 + i * 16, true));
      return piece.bytes.slice(at, at + Number(piece.view.getBigUint64(0x750000 + i * 16 + 8, true)));
    });
    expect(Buffer.compare(concat(...parts), core.subarray(100, size - 50))).toBe(0);
    expect(piece.exports.extents?.(0x750000, 2, 100, size)).toBe(2);
    expect(piece.exports.extents?.(0x750000, 16, size, 100)).toBe(0);
  });

  it("drops a note that does not fit its header", () => {
    piece.bytes.set(note("CORE", 1, new Uint8Array(600)), 0x620000);
    write(good());
    expect(piece.exports.init?.()).toBe(0);
    expect(piece.log()[0]).toBe(
      "<4>Warning: Exceeded p_memsz, dropping PT_NOTE entry n_namesz=0x5, n_descsz=0x258",
    );
  });

  const NOT_INITIALIZED = "<4>Kdump: vmcore not initialized";
  it.each<[string, (at: number, view: DataView) => void, number, string[]]>([
    ["no magic", (at, view) => view.setUint8(at, 0), EINVAL, ["<4>Warning: Core image elf header not found"]],
    [
      "32 bit",
      (at, view) => view.setUint8(at + 4, 1),
      EINVAL,
      ["<4>Warning: Core image elf header is not sane"],
    ],
    [
      "not a core",
      (at, view) => view.setUint16(at + 16, 2, true),
      EINVAL,
      ["<4>Warning: Core image elf header is not sane"],
    ],
    [
      "no headers",
      (at, view) => view.setUint16(at + 56, 0, true),
      EINVAL,
      ["<4>Warning: Core image elf header is not sane"],
    ],
    ["too many headers", (at, view) => view.setUint16(at + 56, 0xffff, true), EFAULT, []],
    ["a note outside of memory", (at, view) => view.setBigUint64(at + 72, 1n << 40n, true), EFAULT, []],
  ])("refuses %s", (_, damage, error, log) => {
    write(good());
    damage(HEADER, piece.view);
    expect(piece.exports.init?.()).toBe(error);
    expect(piece.log()).toEqual([...log, NOT_INITIALIZED]);
    expect(piece.exports.kdump?.()).toBe(1);
  });

  it("reads no load outside of memory", () => {
    write([notes(0x620000, 368), load(0x7ff000, 0x2000)]);
    expect(piece.exports.init?.()).toBe(0);
    expect(piece.exports.read?.(0x760000, 4096, 0x2000)).toBe(4096);
    expect(piece.exports.read?.(0x760000, 4096, 0x3000)).toBe(EFAULT);
    expect(piece.exports.extents?.(0x750000, 4, 0x2000, 0x2000)).toBe(EFAULT);
  });

  it("survives any damage to the headers", () => {
    const random = seededRandom(1);
    for (let run = 0; run < 1500; run++) {
      write(good());
      for (let flips = 1 + random(6); flips > 0; flips--) {
        const at = HEADER + random(64 + 6 * 56);
        piece.bytes[at] = (piece.bytes[at] ?? 0) ^ (1 << random(8));
      }
      piece.view.setBigUint64(piece.at("elfcorehdr_addr"), BigInt(HEADER), true);
      piece.reset();
      const error = piece.exports.init?.() ?? 1;
      expect([0, EINVAL, EFAULT, ENOMEM]).toContain(error);
      if (error) continue;
      for (const pos of [0, 100, 0x2000, random(1 << 30), 2 ** 46]) {
        expect(piece.exports.read?.(0x760000, 5000, pos)).toBeLessThanOrEqual(5000);
      }
    }
  });
});
