/**
 * kexec_file_load: checks and errnos in order, where the segments go, what purgatory and the capture kernel
 * are told.
 */
import { createHash } from "node:crypto";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { IMAGE_TYPE_KERNEL, IMAGE_TYPE_PURGATORY, writeImageHeader } from "../../runtime/boot/image.ts";
import { DIRECT_MAP } from "../support/vmcore.ts";
import { BASE, compilePiece, FAKES, IMAGE_START, type Piece } from "./kexec-harness.ts";

const SOURCE = `
import { pt_regs, resource } from "./include/generated/structs";
import { sym } from "./include/generated/symbols";
import { kexec_trylock, kexec_unlock, crash_shrink_memory } from "./kernel/kexec_core";
import { __x64_sys_kexec_file_load } from "./kernel/kexec_file";
import { crash_save_vmcoreinfo_init } from "./kernel/crash_core";
export function setup(low: usize, main: usize, start: u32, size: u32, memory: u32): void {
  sym.kexec_crash_image_va = 0;
  sym.kexec_load_disabled = 0;
  sym.kexec_lock.counter = 0;
  sym.__cpu_possible_mask.bits[0] = 3;
  sym.nr_cpu_ids = 2;
  sym.__per_cpu_offset[0] = 0xffff8880002a0000;
  sym.__per_cpu_offset[1] = 0xffff8880002b0000;
  sym._totalram_pages.counter = memory >> 12;
  const a = changetype<resource>(low), b = changetype<resource>(main);
  a.start = 0; a.end = 0x9ffff; a.flags = 0x1000200; a.sibling = b;
  b.start = 0x100000; b.end = memory - 1; b.flags = 0x1000200; b.sibling_va = 0;
  sym.iomem_resource.child = a;
  sym.crashk_res.start = start;
  sym.crashk_res.end = size ? start + size - 1 : 0;
  crash_save_vmcoreinfo_init();
}
export function load(regs: usize): i32 { return <i32>__x64_sys_kexec_file_load(changetype<pt_regs>(regs)); }
export function loaded(): i32 { return sym.kexec_crash_image_va != 0; }
export function disable(): void { sym.kexec_load_disabled = 1; }
export function lock(): i32 { return kexec_trylock(); }
export function unlock(): void { kexec_unlock(); }
export function segments(): i32 { return <i32>sym.kexec_crash_image.nr_segments; }
export function mem(i: i32): f64 { return <f64>sym.kexec_crash_image.segment[i].mem; }
export function memsz(i: i32): f64 { return <f64>sym.kexec_crash_image.segment[i].memsz; }
export function start(): f64 { return <f64>sym.kexec_crash_image.start; }
export function safecopy(): f64 { return <f64>sym.vmcoreinfo_data_safecopy; }
export function note(): f64 { return <f64>sym.vmcoreinfo_note; }
export function shrink(size: f64): i32 { return crash_shrink_memory(<u64>size); }
export function region_end(): f64 { return <f64>sym.crashk_res.end; }
`;
const [EPERM, ENOENT, ENOEXEC, EBUSY, EINVAL, EADDRNOTAVAIL, EBADF] = [-1, -2, -8, -16, -22, -99, -9];
const REGION = 0x600000;
const SIZE = 0x180000;
const MEMORY = 0x800000;
const ON_CRASH = 2;
const PURGATORY_PARAMS = 0x2000;

/** An image of `file` bytes that needs `memory`, its parts one page each. */
function image(type: number, file: number, memory: number): Uint8Array {
  const bytes = Uint8Array.from({ length: file }, (_, i) => (i * 29) & 0xff);
  const page = (n: number) => n * 0x1000;
  writeImageHeader(new DataView(bytes.buffer), 0, {
    type,
    fileSize: file,
    memSize: memory,
    textOffset: 0x100,
    textSize: 0x100,
    wasmOffset: page(1),
    wasmSize: 0x800,
    rodataOffset: page(2) - 0x100,
    rodataSize: 0x100,
    dataOffset: page(2),
    dataSize: file - page(2),
    endOffset: memory - 0x4000,
    stackOffset: memory,
    linkAddress: 0xffffffff80100000n,
    paramsOffset: type === IMAGE_TYPE_PURGATORY ? PURGATORY_PARAMS : 0,
    tableSize: 0,
    release: "5.15.0-test",
    digest: new Uint8Array(32),
  });
  return bytes;
}

describe("kexec_file_load", () => {
  let piece: Piece;
  /** Descriptor -> file. */
  const files = new Map<number, Uint8Array>();
  const PURGATORY = 0x2c0000;
  const KERNEL = image(IMAGE_TYPE_KERNEL, 0x9000, 0x20000);
  const INITRD = Uint8Array.from({ length: 5000 }, (_, i) => i & 0xff);

  beforeAll(async () => {
    const fakes = {
      ...FAKES,
      "mm/memory_model.ts": `
        import { page } from "../include/generated/structs";
        export function pfn_to_page(pfn: usize): page { return changetype<page>(pfn << 6); }`,
      "mm/page_alloc.ts": `${FAKES["mm/page_alloc.ts"]}
        export function get_order(size: usize): u32 { return 0; }`,
      "kernel/resource.ts": `
        import { resource } from "../include/generated/structs";
        export function insert_resource(parent: resource, res: resource): i32 { return 0; }
        export function release_resource(res: resource): i32 { return 0; }`,
      "fs/kernel_read_file.ts": `
        @external("test", "read_file") declare function read_file(fd: i32, pointer: usize): i32;
        export function kernel_read_file_from_fd(fd: i32, pointer: usize): i64 {
          return read_file(fd, pointer);
        }`,
    };
    piece = await compilePiece("production", SOURCE, fakes, {
      read_file: (fd: number, pointer: number) => {
        const file = files.get(fd);
        if (!file) return EBADF;
        const at = piece.alloc(file.length);
        piece.bytes.set(file, at);
        piece.view.setBigUint64(pointer, DIRECT_MAP + BigInt(at), true);
        return file.length;
      },
    } as never);
    piece.bytes.set(image(IMAGE_TYPE_PURGATORY, 0x3000, 0x8000), PURGATORY);
  });

  beforeEach(() => {
    piece.reset();
    piece.log();
    files.clear();
    files.set(3, KERNEL).set(4, INITRD);
    piece.linkSymbols.sym_kexec_purgatory = PURGATORY;
    setup();
  });

  const setup = (size = SIZE) =>
    piece.exports.setup?.(piece.alloc(128), piece.alloc(128), REGION, size, MEMORY);

  const load = (flags = ON_CRASH, cmdline = "quiet panic=1\0", kernel = 3, initrd = 4) => {
    const regs = piece.alloc(168);
    const text = piece.alloc(4096);
    piece.bytes.set(Buffer.from(cmdline), text);
    const set = (offset: number, value: number) =>
      piece.view.setBigUint64(regs + offset, BigInt(value), true);
    set(112, kernel);
    set(104, initrd);
    set(96, cmdline.length);
    set(56, text);
    set(72, flags);
    return piece.exports.load?.(regs);
  };

  const segments = () =>
    Array.from({ length: piece.exports.segments?.() ?? 0 }, (_, i) => ({
      mem: piece.exports.mem?.(i) ?? 0,
      memsz: piece.exports.memsz?.(i) ?? 0,
    }));

  it("places backup, elfcorehdr, purgatory, parameters, kernel and initrd in the region, apart", () => {
    expect(load()).toBe(0);
    const list = segments();
    expect(list).toHaveLength(6);
    const [backup, elfcorehdr, purgatory, params, kernel, initrd] = list as { mem: number; memsz: number }[];
    expect(backup).toEqual({ mem: REGION + SIZE - 0xa0000, memsz: 0xa0000 });
    expect(elfcorehdr?.memsz).toBe(4096);
    expect((purgatory?.mem ?? 1) % 0x4000).toBe(0);
    expect(piece.exports.start?.()).toBe(purgatory?.mem);
    expect(params?.memsz).toBe(8192);
    expect((kernel?.mem ?? 1) % 0x10000).toBe(0);
    expect(kernel?.memsz).toBe(0x20000);
    expect(initrd?.memsz).toBe(8192);
    const sorted = [...list].sort((a, b) => a.mem - b.mem);
    sorted.forEach((segment, i) => {
      expect(segment.mem).toBeGreaterThanOrEqual(REGION);
      expect(segment.mem + segment.memsz).toBeLessThanOrEqual(sorted[i + 1]?.mem ?? REGION + SIZE);
    });
    const at = kernel?.mem ?? 0;
    expect(Buffer.compare(piece.bytes.slice(at, at + KERNEL.length), KERNEL)).toBe(0);
    expect(piece.bytes.slice(at + KERNEL.length, at + 0x20000).every((byte) => byte === 0)).toBe(true);
    const copy = piece.exports.safecopy?.() ?? 0;
    expect(copy).toBeGreaterThanOrEqual(REGION);
    expect(list.some(({ mem, memsz }) => copy + 4096 > mem && copy < mem + memsz)).toBe(false);
    expect(piece.text(copy)).toMatch(/^OSRELEASE=5\.15\.0.*\nBUILD-ID=[0-9a-f]{40}\n/);
  });

  it("tells purgatory what to check, to save and to start", () => {
    load();
    const [backup, elfcorehdr, purgatory, params, kernel, initrd] = segments();
    const info = (purgatory?.mem ?? 0) + PURGATORY_PARAMS;
    const word = (offset: number) => Number(piece.view.getBigUint64(info + offset, true));
    const hash = createHash("sha256");
    [elfcorehdr, params, kernel, initrd].forEach((segment, i) => {
      const { mem, memsz } = segment ?? { mem: 0, memsz: 0 };
      expect([word(i * 16), word(i * 16 + 8)]).toEqual([mem, memsz]);
      hash.update(piece.bytes.slice(mem, mem + memsz));
    });
    expect(word(4 * 16 + 8)).toBe(0);
    expect(Buffer.from(piece.bytes.slice(info + 256, info + 288)).toString("hex")).toBe(hash.digest("hex"));
    expect([288, 296, 304, 312, 320].map(word)).toEqual([0, backup?.mem, 0xa0000, kernel?.mem, params?.mem]);
  });

  it("gives the capture kernel its region, without elfcorehdr and backup, and its command line", () => {
    load();
    const [backup, elfcorehdr, , params, , initrd] = segments();
    const at = params?.mem ?? 0;
    const { view, bytes } = piece;
    const entries = Array.from({ length: bytes[at + 0x1e8] ?? 0 }, (_, i) => {
      const entry = at + 0x2d0 + i * 20;
      const start = Number(view.getBigUint64(entry, true));
      return [start, start + Number(view.getBigUint64(entry + 8, true)), view.getUint32(entry + 16, true)];
    });
    // The headers lie right below the backup, so one piece is left.
    expect((elfcorehdr?.mem ?? 0) + 4096).toBe(backup?.mem);
    expect(entries).toEqual([[REGION, elfcorehdr?.mem, 1]]);
    expect([view.getUint32(at + 0x218, true), view.getUint32(at + 0x21c, true)]).toEqual([
      initrd?.mem,
      INITRD.length,
    ]);
    const cmdline = view.getUint32(at + 0x228, true);
    expect(piece.text(cmdline)).toBe(`elfcorehdr=0x${elfcorehdr?.mem.toString(16)} quiet panic=1`);
  });

  it("lists the notes of possible CPUs, VMCOREINFO and all memory but the region, each page once", () => {
    load();
    const [backup, elfcorehdr] = segments();
    const at = elfcorehdr?.mem ?? 0;
    const { view } = piece;
    expect(view.getUint32(at, false)).toBe(0x7f454c46);
    const phdrs = Array.from({ length: view.getUint16(at + 56, true) }, (_, i) => {
      const phdr = at + 64 + i * 56;
      const number = (offset: number) => Number(view.getBigUint64(phdr + offset, true));
      return {
        type: view.getUint32(phdr, true),
        offset: number(8),
        vaddr: view.getBigUint64(phdr + 16, true),
        paddr: number(24),
        size: number(40),
      };
    });
    const note = piece.layout.symbols.get("crash_note_buf")?.offset ?? 0;
    const notes = [0x2a0000 + note, 0x2b0000 + note].map((offset) => ({ offset, size: 524 }));
    notes.push({ offset: piece.exports.note?.() ?? 0, size: 4132 });
    const text = { start: IMAGE_START, end: BASE + piece.layout.dataEnd };
    expect(phdrs).toEqual([
      ...notes.map(({ offset, size }) => ({ type: 4, offset, vaddr: 0n, paddr: offset, size })),
      { type: 1, offset: backup?.mem, vaddr: DIRECT_MAP, paddr: 0, size: 0xa0000 },
      {
        type: 1,
        offset: text.start,
        vaddr: 0xffffffff80100000n,
        paddr: text.start,
        size: text.end - text.start,
      },
      ...[
        [text.end, REGION],
        [REGION + SIZE, MEMORY],
      ].map(([start = 0, end = 0]) => ({
        type: 1,
        offset: start,
        vaddr: DIRECT_MAP + BigInt(start),
        paddr: start,
        size: end - start,
      })),
    ]);
  });

  it.each<[string, number, () => void]>([
    ["a kernel that is none", ENOEXEC, () => files.set(3, INITRD)],
    ["a short file", ENOEXEC, () => files.set(3, KERNEL.slice(0, 100))],
    ["a truncated kernel", ENOEXEC, () => files.set(3, KERNEL.slice(0, 0x8000))],
    ["purgatory as kernel", ENOEXEC, () => files.set(3, image(IMAGE_TYPE_PURGATORY, 0x3000, 0x8000))],
    ["a bad descriptor", EBADF, () => files.delete(3)],
    [
      "a kernel larger than the region",
      EADDRNOTAVAIL,
      () => files.set(3, image(IMAGE_TYPE_KERNEL, 0x9000, SIZE)),
    ],
    ["no region", EADDRNOTAVAIL, () => setup(0)],
    ["a region without room for the backup", EADDRNOTAVAIL, () => setup(0x90000)],
  ])("refuses %s", (_, error, prepare) => {
    prepare();
    expect(load()).toBe(error);
    expect(piece.exports.loaded?.()).toBe(0);
  });

  it("checks in Linux's order", () => {
    expect(load(ON_CRASH, "no nul")).toBe(EINVAL);
    expect(load(0x100)).toBe(EINVAL);
    expect(load(ON_CRASH, `${"x".repeat(2047)}\0`)).toBe(EINVAL);
    expect(piece.log()).toEqual(["<3>kexec-image: Kernel command line too long"]);
    piece.exports.lock?.();
    expect(load()).toBe(EBUSY);
    piece.exports.unlock?.();
    piece.exports.disable?.();
    expect(load(0x100)).toBe(EPERM);
  });

  it("needs no initrd with NO_INITRAMFS", () => {
    files.delete(4);
    expect(load(ON_CRASH | 4)).toBe(0);
    expect(segments()).toHaveLength(5);
  });

  it("loses the old image when a new one fails, and unloads", () => {
    expect(load()).toBe(0);
    expect(load(ON_CRASH, "\0", 9)).toBe(EBADF);
    expect(piece.exports.loaded?.()).toBe(0);
    expect(load()).toBe(0);
    expect(load(ON_CRASH | 1, "", 9, 9)).toBe(0);
    expect(piece.exports.loaded?.()).toBe(0);
    expect(piece.exports.safecopy?.()).toBe(0);
  });

  it("shrinks the region only without an image", () => {
    load();
    expect(piece.exports.shrink?.(0x100000)).toBe(ENOENT);
    load(ON_CRASH | 1);
    expect(piece.exports.shrink?.(SIZE + 1)).toBe(EINVAL);
    expect(piece.exports.shrink?.(SIZE)).toBe(0);
    expect(piece.exports.shrink?.(0xffffe)).toBe(0);
    expect(piece.exports.region_end?.()).toBe(REGION + 0xfffff);
    piece.exports.lock?.();
    expect(piece.exports.shrink?.(0)).toBe(EBUSY);
    piece.exports.unlock?.();
    expect(piece.exports.shrink?.(0)).toBe(0);
    expect(piece.exports.region_end?.()).toBe(0);
  });
});
