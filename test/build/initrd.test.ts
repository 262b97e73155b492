import { describe, expect, it } from "vitest";
import { makeInitrd } from "../../tools/build/initrd.ts";
import { makeCpio } from "../../tools/initrd/cpio.ts";

interface Entry {
  mode: number;
  contents: Uint8Array;
  rdev: [number, number];
}

/** Reads a newc archive as init/initramfs.c does. */
function readCpio(archive: Uint8Array): Map<string, Entry> {
  const entries = new Map<string, Entry>();
  const text = (start: number, end: number): string => new TextDecoder().decode(archive.subarray(start, end));
  for (let at = 0; ; ) {
    expect(text(at, at + 6)).toBe("070701");
    const field = (index: number): number =>
      Number.parseInt(text(at + 6 + index * 8, at + 14 + index * 8), 16);
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const name = text(at + 110, at + 110 + nameSize - 1);
    expect(archive[at + 110 + nameSize - 1]).toBe(0);
    const start = (at + 110 + nameSize + 3) & ~3;
    if (name === "TRAILER!!!") {
      expect(start).toBe(archive.length);
      return entries;
    }
    entries.set(name, {
      mode,
      contents: archive.subarray(start, start + size),
      rdev: [field(9), field(10)],
    });
    at = (start + size + 3) & ~3;
  }
}

const program = /^#!program (\S+)\n$/;
const decode = (entry: Entry | undefined): string => new TextDecoder().decode(entry?.contents);

describe("the initrd", () => {
  const captureImage = Uint8Array.from({ length: 1001 }, (_, i) => i & 255);
  const modules = { crasher: Uint8Array.from({ length: 301 }, (_, i) => 255 - (i & 255)) };
  const entries = readCpio(makeInitrd({ captureImage, modules }));

  it("carries the capture kernel and its initrd as files", () => {
    expect(entries.get("boot/vmlinuz")?.contents).toEqual(captureImage);
    const inner = readCpio(entries.get("boot/initramfs-kdump.img")!.contents);
    expect(decode(inner.get("init"))).toBe("#!program init\n");
    expect(decode(inner.get("usr/bin/kdump"))).toBe("#!program kdump\n");
    expect(decode(inner.get("etc/kdump.conf"))).toContain("core_collector cp\n");
    // What the first kernel's init looks for to know that it is the first must not be there.
    expect(entries.has("usr/bin/kdump")).toBe(false);
  });

  it("carries the modules of this release", () => {
    expect(entries.get("lib/modules/5.15.0-wasm/crasher.ko")?.contents).toEqual(modules.crasher);
  });

  it("has executable programs, and directories before what lies in them", () => {
    expect(entries.get("init")?.mode).toBe(0o100755);
    expect(decode(entries.get("sbin/kexec"))).toMatch(program);
    const names = [...entries.keys()];
    for (const name of names) {
      const parent = name.slice(0, Math.max(0, name.lastIndexOf("/")));
      if (parent === "") continue;
      expect(names.indexOf(parent)).toBeLessThan(names.indexOf(name));
      expect(entries.get(parent)?.mode).toBe(0o040755);
      expect(names.indexOf(parent)).toBeGreaterThanOrEqual(0);
    }
  });

  it("has the console's device node", () => {
    expect(entries.get("dev/console")).toMatchObject({ mode: 0o020600, rdev: [5, 1] });
  });

  it("is the same each time", () => {
    expect(makeInitrd({ captureImage, modules })).toEqual(makeInitrd({ captureImage, modules }));
  });

  it("can be empty", () => {
    expect(readCpio(makeCpio({})).size).toBe(0);
  });
});
