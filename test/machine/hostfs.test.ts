import { beforeEach, describe, expect, it } from "vitest";
import { MemoryFs } from "../../runtime/adapter/index.ts";
import { HostFsDevice, type Renamed } from "../../runtime/machine/hostfs.ts";
import { PhysicalMemory } from "../../runtime/machine/memory.ts";

const memory = new PhysicalMemory(4 * 1024 * 1024);
const REQUEST = 0x1000;
const PATH = 0x2000;
const PATH2 = 0x3000;
const EXTENTS = 0x4000;
const DATA = 0x10000;
const OP = {
  open: 1,
  close: 2,
  write: 3,
  read: 4,
  fsync: 5,
  rename: 6,
  mkdir: 7,
  stat: 8,
  unlink: 9,
  fsyncDir: 10,
};
const O_WRONLY_CREAT_EXCL = 0o301;
const E = {
  ENOENT: 2,
  EBADF: 9,
  EACCES: 13,
  EFAULT: 14,
  EEXIST: 17,
  EINVAL: 22,
  EMFILE: 24,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
};

let fs: MemoryFs;
let device: HostFsDevice;
let renamed: Renamed[];

beforeEach(() => {
  fs = new MemoryFs();
  renamed = [];
  device = new HostFsDevice(memory, fs, (names) => renamed.push(names));
  memory.zero(0, memory.size);
});

interface Fields {
  handle?: number;
  flags?: number;
  offset?: number;
  path?: string;
  path2?: string;
  extents?: [number, number][];
  mode?: number;
}

function request(op: number, fields: Fields = {}): number {
  const put = (at: number, text: string): number => {
    memory.write(at, new TextEncoder().encode(`${text}\0`));
    return at;
  };
  memory.zero(REQUEST, 64);
  memory.setU32(REQUEST, op);
  memory.setU32(REQUEST + 8, fields.handle ?? 0);
  memory.setU32(REQUEST + 12, fields.flags ?? 0);
  memory.setU64(REQUEST + 16, fields.offset ?? 0);
  memory.setU64(REQUEST + 32, put(PATH, fields.path ?? ""));
  memory.setU64(REQUEST + 40, put(PATH2, fields.path2 ?? ""));
  memory.setU64(REQUEST + 48, EXTENTS);
  memory.setU32(REQUEST + 56, fields.extents?.length ?? 0);
  memory.setU32(REQUEST + 60, fields.mode ?? 0o600);
  (fields.extents ?? []).forEach(([address, length], i) => {
    memory.setU64(EXTENTS + i * 16, address);
    memory.setU64(EXTENTS + i * 16 + 8, length);
  });
  const result = device.doorbell(REQUEST);
  expect(memory.view.getInt32(REQUEST + 4, true)).toBe(result);
  return result;
}

describe("the hostfs device", () => {
  it("writes extents of memory, syncs, renames", () => {
    memory.write(DATA, new TextEncoder().encode("hello "));
    memory.write(DATA + 4096, new TextEncoder().encode("world"));
    const handle = request(OP.open, { path: "a.tmp", flags: O_WRONLY_CREAT_EXCL });
    expect(memory.u32(REQUEST + 8)).toBe(handle);
    const extents: [number, number][] = [
      [DATA, 6],
      [DATA + 4096, 5],
    ];
    expect(request(OP.write, { handle, extents })).toBe(0);
    expect(memory.u64(REQUEST + 24)).toBe(11);
    expect(request(OP.write, { handle, extents: [[DATA, 5]], offset: 20 })).toBe(0);
    expect(request(OP.fsync, { handle })).toBe(0);
    expect(request(OP.close, { handle })).toBe(0);
    expect(request(OP.rename, { path: "a.tmp", path2: "vmcore", flags: 1 })).toBe(0);
    expect(renamed).toEqual([{ from: "a.tmp", to: "vmcore" }]);
    expect(new TextDecoder().decode(fs.read("vmcore"))).toBe(`hello world${"\0".repeat(9)}hello`);
  });

  it("reads into extents, and to the end of the file", () => {
    const host = fs.open("f", { create: true, write: true });
    fs.writev(host, [new TextEncoder().encode("0123456789")], 0);
    fs.close(host);
    const handle = request(OP.open, { path: "f" });
    const extents: [number, number][] = [
      [DATA, 4],
      [DATA + 100, 20],
    ];
    expect(request(OP.read, { handle, extents, offset: 2 })).toBe(0);
    expect(memory.u64(REQUEST + 24)).toBe(8);
    expect(memory.cString(DATA, 10)).toBe("2345");
    expect(memory.cString(DATA + 100, 30)).toBe("6789");
  });

  it("makes directories, tells sizes, removes files", () => {
    expect(request(OP.mkdir, { path: "d", mode: 0o755 })).toBe(0);
    expect(request(OP.fsyncDir, { path: "d" })).toBe(0);
    expect(request(OP.stat, { path: "d" })).toBe(0);
    // The same on every host, so that a dump is.
    expect(memory.u32(REQUEST + 60)).toBe(0o040755);
    expect(memory.u64(REQUEST + 24)).toBe(4096);
    const handle = request(OP.open, { path: "d/f", flags: O_WRONLY_CREAT_EXCL });
    request(OP.write, { handle, extents: [[DATA, 1000]] });
    expect(request(OP.stat, { path: "d/f" })).toBe(0);
    expect(memory.u64(REQUEST + 24)).toBe(1000);
    expect(request(OP.unlink, { path: "d/f" })).toBe(0);
    expect(request(OP.stat, { path: "d/f" })).toBe(-E.ENOENT);
  });

  it("never overwrites what is there", () => {
    for (const path of ["a", "b"]) request(OP.close, { handle: request(OP.open, { path, flags: 0o301 }) });
    expect(request(OP.open, { path: "a", flags: O_WRONLY_CREAT_EXCL })).toBe(-E.EEXIST);
    expect(request(OP.rename, { path: "a", path2: "b", flags: 1 })).toBe(-E.EEXIST);
    expect(renamed).toEqual([]);
  });

  it("stays inside its directory", () => {
    for (const path of ["../x", "/etc/passwd", "a/../../x"]) {
      expect(request(OP.open, { path, flags: O_WRONLY_CREAT_EXCL })).toBe(-E.EACCES);
    }
  });

  it("trusts no address, no length, no handle", () => {
    const handle = request(OP.open, { path: "f", flags: O_WRONLY_CREAT_EXCL });
    const { size } = memory;
    const bad: [number, number][] = [
      [size, 1],
      [size - 1, 2],
      [2 ** 40, 1],
      [0, size + 1],
      [0, 2 ** 53],
      [2 ** 63, 16],
    ];
    for (const extent of bad) expect(request(OP.write, { handle, extents: [extent] })).toBe(-E.EFAULT);
    expect(request(OP.write, { handle, extents: [[DATA, 1]], offset: 2 ** 62 })).toBe(-E.EINVAL);
    expect(request(OP.write, { handle: 77, extents: [] })).toBe(-E.EBADF);
    expect(request(OP.close, { handle: 0xffffffff })).toBe(-E.EBADF);
    expect(request(99)).toBe(-E.ENOSYS);
    expect(request(0)).toBe(-E.ENOSYS);
    expect(device.doorbell(size - 63)).toBe(-E.EFAULT);
    expect(device.doorbell(0xffffffff)).toBe(-E.EFAULT);

    memory.setU32(REQUEST, OP.open);
    memory.setU64(REQUEST + 32, size);
    expect(device.doorbell(REQUEST)).toBe(-E.EFAULT);
    memory.setU64(REQUEST + 32, DATA);
    memory.bytes.fill(0x41, DATA, DATA + 8192);
    expect(device.doorbell(REQUEST)).toBe(-E.ENAMETOOLONG);
    memory.bytes.fill(0x41, size - 16, size);
    memory.setU64(REQUEST + 32, size - 16);
    expect(device.doorbell(REQUEST)).toBe(-E.ENAMETOOLONG);

    memory.setU32(REQUEST, OP.write);
    memory.setU32(REQUEST + 8, handle);
    memory.setU64(REQUEST + 16, 0);
    memory.setU64(REQUEST + 48, size - 8);
    memory.setU32(REQUEST + 56, 1);
    expect(device.doorbell(REQUEST)).toBe(-E.EFAULT);
    memory.setU32(REQUEST + 56, 0xffffffff);
    expect(device.doorbell(REQUEST)).toBe(-E.EINVAL);
  });

  it("has an end of handles, and closes all at the end", () => {
    let last = 0;
    for (let i = 0; i < 1100 && last >= 0; i++)
      last = request(OP.open, { path: `f${i}`, flags: O_WRONLY_CREAT_EXCL });
    expect(last).toBe(-E.EMFILE);
    device.closeAll();
    expect(request(OP.fsync, { handle: 0 })).toBe(-E.EBADF);
    expect(() => fs.fsync(0)).toThrow(/EBADF/);
  });
});
