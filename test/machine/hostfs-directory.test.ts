/** HostFs over a real directory and in memory: the same contract. */

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { fileChunks, HostError, type HostFs, MemoryFs, openDirectory } from "../../runtime/adapter/index.ts";

const base = mkdtempSync(join(tmpdir(), "wkdump-hostfs-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));

let roots = 0;
const kinds: [string, () => HostFs][] = [
  ["a directory", () => openDirectory(join(base, `root${roots++}`, "deep"))],
  ["memory", () => new MemoryFs()],
];

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const code = (body: () => unknown): string => {
  try {
    body();
  } catch (error) {
    expect(error).toBeInstanceOf(HostError);
    return (error as HostError).code;
  }
  return "";
};
const put = (fs: HostFs, path: string, value: string): void => {
  const handle = fs.open(path, { write: true, create: true, exclusive: true });
  expect(fs.writev(handle, [text(value)], 0)).toBe(value.length);
  fs.fsync(handle);
  fs.close(handle);
};
const get = (fs: HostFs, path: string): string => new TextDecoder().decode(fs.read(path));

it("leaves holes in a directory's files for zeros, unless something was there", () => {
  const root = join(base, "sparse");
  const fs = openDirectory(root);
  const handle = fs.open("f", { write: true, create: true });
  const onDisk = (): number => statSync(join(root, "f")).blocks * 512;
  const memory = new Uint8Array(new SharedArrayBuffer(4 << 20));
  memory[2 << 20] = 1;
  fs.writev(handle, [memory], 0);
  expect(onDisk()).toBeLessThan(0x20000);
  fs.writev(handle, [new Uint8Array(1 << 20)], 0);
  expect(onDisk()).toBeGreaterThanOrEqual(1 << 20);
  fs.close(handle);
});

describe.each(kinds)("HostFs: %s", (_, make) => {
  it("writes views of shared memory at positions, in any number and size", () => {
    const fs = make();
    const shared = new Uint8Array(new SharedArrayBuffer(5 << 20)).map((_, i) => (i * 7) ^ (i >> 12));
    const bytes = new Uint8Array(new SharedArrayBuffer(shared.length));
    bytes.set(shared);
    const views = [bytes.subarray(0, 3), bytes.subarray(3, 3), bytes.subarray(3, (3 << 20) + 1)];
    for (let at = (3 << 20) + 1; at < bytes.length; at += 777) views.push(bytes.subarray(at, at + 777));
    const handle = fs.open("f", { write: true, create: true });
    expect(fs.writev(handle, views, 10)).toBe(bytes.length);
    fs.close(handle);
    const read = fs.read("f");
    expect(read.length).toBe(bytes.length + 10);
    expect(read.subarray(0, 10)).toEqual(new Uint8Array(10));
    expect(Buffer.compare(read.subarray(10), bytes)).toBe(0);
    let chunks = 0;
    for (const chunk of fileChunks(fs, "f")) chunks += chunk.length;
    expect(chunks).toBe(read.length);
    const again = fs.open("f");
    const parts = [new Uint8Array(100), new Uint8Array(2 << 20), new Uint8Array(8 << 20)];
    expect(fs.readv(again, parts, 10)).toBe(bytes.length);
    expect(parts[0]).toEqual(bytes.slice(0, 100));
    fs.close(again);
  });

  it("keeps every byte where zeros beyond the end may become holes", () => {
    const fs = make();
    const size = 5 << 18;
    const bytes = new Uint8Array(new SharedArrayBuffer(size));
    // Data at the start, at the last byte of a block, in the midst of zeros; zeros at the end.
    for (const at of [0, 0x2ffff, 0x81234, 0xf0000]) bytes[at] = at + 1;
    // One view, many, and such that no block of memory is a block of the file.
    const cuts: number[][] = [[], [1, 0x10000, 0x7ffff, 0x80000], [0x20000, 0x20000, 0x30000]];
    for (const position of [0, 0x10000, 0x12345]) {
      for (const [i, cut] of cuts.entries()) {
        const views = [...cut, size].map((end, at) => bytes.subarray(cut[at - 1] ?? 0, end));
        const name = `zeros-${position}-${i}`;
        const handle = fs.open(name, { write: true, create: true });
        expect(fs.writev(handle, views, position)).toBe(size);
        expect(fs.stat(name).size).toBe(position + size);
        expect(Buffer.compare(fs.read(name).subarray(position), bytes)).toBe(0);
        // Zeros over data are data.
        const wiped = new Uint8Array(0xe0000);
        expect(fs.writev(handle, [wiped], position)).toBe(wiped.length);
        fs.close(handle);
        const read = fs.read(name);
        expect(read.length).toBe(position + size);
        expect(read.findIndex((byte) => byte !== 0)).toBe(position + 0xf0000);
      }
    }
    const empty = fs.open("empty", { write: true, create: true });
    expect(fs.writev(empty, [bytes.subarray(0x100000)], 0)).toBe(0x40000);
    expect(fs.writev(empty, [], 0x50000)).toBe(0);
    fs.close(empty);
    expect(fs.stat("empty").size).toBe(0x40000);
  });

  it("creates exclusively, opens and truncates", () => {
    const fs = make();
    expect(code(() => fs.open("f"))).toBe("ENOENT");
    put(fs, "f", "hello");
    expect(code(() => fs.open("f", { write: true, create: true, exclusive: true }))).toBe("EEXIST");
    expect(get(fs, "f")).toBe("hello");
    fs.close(fs.open("f", { write: true, truncate: true }));
    expect(fs.stat("f").size).toBe(0);
    const handle = fs.open("f");
    expect(code(() => fs.writev(handle, [text("x")], 0))).toBe("EBADF");
    fs.close(handle);
    expect(code(() => fs.close(handle))).toBe("EBADF");
    expect(code(() => fs.fsync(99))).toBe("EBADF");
  });

  it("renames without ever replacing", () => {
    const fs = make();
    put(fs, "a", "A");
    put(fs, "b", "B");
    fs.mkdir("d");
    fs.mkdir("e");
    expect(code(() => fs.rename("a", "b", { noReplace: true }))).toBe("EEXIST");
    expect(code(() => fs.rename("d", "e", { noReplace: true }))).toBe("EEXIST");
    expect(code(() => fs.rename("nothing", "x", { noReplace: true }))).toBe("ENOENT");
    expect([get(fs, "a"), get(fs, "b")]).toEqual(["A", "B"]);
    fs.rename("a", "d/c", { noReplace: true });
    expect(code(() => fs.stat("a"))).toBe("ENOENT");
    expect(get(fs, "d/c")).toBe("A");
    fs.rename("d", "f", { noReplace: true });
    expect(get(fs, "f/c")).toBe("A");
    fs.rename("f/c", "b");
    expect(get(fs, "b")).toBe("A");
  });

  it("makes directories and removes files", () => {
    const fs = make();
    fs.mkdir("d", 0o700);
    expect(fs.stat("d").mode & 0o170777).toBe(0o040700);
    expect(code(() => fs.mkdir("d"))).toBe("EEXIST");
    expect(code(() => fs.mkdir("x/y"))).toBe("ENOENT");
    put(fs, "d/f", "1");
    expect(fs.stat("d/f")).toMatchObject({ size: 1 });
    expect(code(() => fs.open("d"))).toBe("EISDIR");
    expect(code(() => fs.unlink("d"))).toBe("EISDIR");
    expect(code(() => fs.stat("d/f/g"))).toBe("ENOTDIR");
    fs.fsyncDirectory("d");
    fs.fsyncDirectory("");
    fs.unlink("d/f");
    expect(code(() => fs.unlink("d/f"))).toBe("ENOENT");
  });

  it("stays inside", () => {
    const fs = make();
    for (const path of ["/x", "..", "../x", "a/../../x", "a/..", "\\x"]) {
      expect(code(() => fs.open(path, { write: true, create: true }))).toBe("EACCES");
      expect(code(() => fs.mkdir(path))).toBe("EACCES");
      expect(code(() => fs.unlink(path))).toBe("EACCES");
      expect(code(() => fs.rename("a", path))).not.toBe("");
    }
    expect(code(() => fs.open("a\0b", { write: true, create: true }))).toBe("EINVAL");
  });
});

describe("a real directory", () => {
  it("does not follow links out of it", () => {
    const outside = join(base, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "secret"), "secret");
    const root = join(base, "links");
    const fs = openDirectory(root);
    symlinkSync(outside, join(root, "dir"));
    symlinkSync(join(outside, "secret"), join(root, "file"));
    symlinkSync(join(outside, "new"), join(root, "dangling"));
    expect(code(() => fs.open("dir/secret"))).toBe("EACCES");
    expect(code(() => fs.open("file"))).toBe("ELOOP");
    expect(code(() => fs.open("dangling", { write: true, create: true, exclusive: true }))).toBe("EEXIST");
    expect(code(() => fs.mkdir("dir/x"))).toBe("EACCES");
    expect(existsSync(join(outside, "new"))).toBe(false);
    expect(readFileSync(join(outside, "secret"), "utf8")).toBe("secret");
  });

  it("that cannot be made or written is an error at once", () => {
    writeFileSync(join(base, "file"), "");
    expect(code(() => openDirectory(join(base, "file")))).toMatch(/ENOTDIR|EEXIST/);
    expect(code(() => openDirectory(join(base, "file", "x")))).toBe("ENOTDIR");
  });

  it.skipIf(process.getuid?.() === 0)("without the right to write is EACCES", () => {
    const root = join(base, "readonly");
    mkdirSync(root);
    chmodSync(root, 0o500);
    expect(code(() => openDirectory(root))).toBe("EACCES");
  });
});
