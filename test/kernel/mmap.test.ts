/** mmap, munmap and mprotect of programs: what they see, what /proc says of it, and what is refused. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Machine } from "../../runtime/index.ts";
import { syscall } from "../../runtime/machine/x86.ts";
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  type Mapping,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  PROT_EXEC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  type Proc,
  SIGSEGV,
} from "../../runtime/user/proc.ts";
import type { Process } from "../../runtime/user/process.ts";
import { CrashedKernel } from "../../tools/crashed/kernel.ts";
import { SystemMap } from "../../tools/crashed/system-map.ts";
import { checkPages } from "../../tools/fuzz/check/pages.ts";
import { built } from "../support/boot.ts";
import { readText, runInKernel } from "../support/kernel-program.ts";

const PAGE = 4096;
const RW = PROT_READ | PROT_WRITE;
const SIGBUS = 7;
const PRIVATE: Mapping = { prot: RW, flags: MAP_PRIVATE | MAP_ANONYMOUS };

async function load(proc: Proc, address: number, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length);
  await proc.load(address, into);
  return into;
}

const text = async (proc: Proc, address: number, length: number): Promise<string> =>
  new TextDecoder().decode(await load(proc, address, length));
const put = (proc: Proc, address: number, value: string): Promise<void> =>
  proc.store(address, new TextEncoder().encode(value));

/** What ends a child that does this: its wait status. */
async function inChild(proc: Proc, body: (child: Proc) => Promise<unknown>): Promise<number> {
  const pid = await proc.fork(async (child) => {
    await body(child);
    return 0;
  });
  return (await proc.wait(pid)).status;
}

async function makeFile(proc: Proc, path: string, contents: Uint8Array | string): Promise<number> {
  const fd = await proc.open(path, O_RDWR | O_CREAT, 0o644);
  await proc.write(fd, contents);
  return fd;
}

const refused = async (call: Promise<unknown>): Promise<string> => {
  try {
    await call;
  } catch (error) {
    return (error as { code: string }).code;
  }
  return "nothing";
};

/** start-end perms offset, and the name, of each mapping at or above `from`. */
async function maps(proc: Proc, from: number): Promise<string[]> {
  const lines = (await readText(proc, "/proc/self/maps")).trimEnd().split("\n");
  return lines
    .filter((line) => Number.parseInt(line, 16) >= from && !line.includes("[stack]"))
    .map((line) => line.replace(/ \w+:\w+ \d+ */, " ").trimEnd());
}

const hex = (value: number): string => value.toString(16).padStart(8, "0");

async function status(proc: Proc): Promise<Record<"RssAnon" | "RssFile" | "RssShmem" | "VmRSS", number>> {
  const lines = await readText(proc, "/proc/self/status");
  const kB = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(lines)?.[1]) / 4;
  return { RssAnon: kB("RssAnon"), RssFile: kB("RssFile"), RssShmem: kB("RssShmem"), VmRSS: kB("VmRSS") };
}

/** The kernel's lists and counts of pages agree with each other. */
function checkKernel(machine: Machine): void {
  const symbols = SystemMap.parse(new Uint8Array(readFileSync(built("System.map"))));
  const kernel = new CrashedKernel(new DataView(machine.memory.bytes.slice().buffer), symbols);
  expect(() => checkPages(kernel)).not.toThrow();
}

describe.skipIf(!existsSync(built("vmlinuz")))("mmap", () => {
  it("makes anonymous memory, takes it away by parts, and says so in /proc/self/maps", async () => {
    await runInKernel(async (proc, machine) => {
      const at = await proc.mmap(8 * PAGE, PRIVATE);
      expect(at + 8 * PAGE).toBe(0xb7fff000);
      expect(await load(proc, at, 3 * PAGE)).toEqual(new Uint8Array(3 * PAGE));
      await put(proc, at + 5 * PAGE - 2, "over");
      const other = await proc.mmap(PAGE, PRIVATE);
      expect(other).toBe(at - PAGE);
      const before = await status(proc);
      await proc.munmap(at + 2 * PAGE, 2 * PAGE);
      expect(await status(proc)).toEqual({ ...before, RssAnon: before.RssAnon - 1, VmRSS: before.VmRSS - 1 });
      expect(await maps(proc, other)).toEqual([
        `${hex(other)}-${hex(at)} rw-p 00000000`,
        `${hex(at)}-${hex(at + 2 * PAGE)} rw-p 00000000`,
        `${hex(at + 4 * PAGE)}-${hex(at + 8 * PAGE)} rw-p 00000000`,
      ]);
      expect(await text(proc, at + 5 * PAGE, 2)).toBe("er");
      expect(await inChild(proc, (child) => load(child, at + 3 * PAGE, 1))).toBe(SIGSEGV);
      expect(await inChild(proc, (child) => put(child, at + 2 * PAGE, "x"))).toBe(SIGSEGV);
      // What is free is found again, and a fixed mapping takes the place of what was there.
      expect(await proc.mmap(2 * PAGE, PRIVATE)).toBe(at + 2 * PAGE);
      expect(
        await proc.mmap(PAGE, { ...PRIVATE, flags: PRIVATE.flags | MAP_FIXED, address: at + 4 * PAGE }),
      ).toBe(at + 4 * PAGE);
      expect(await load(proc, at + 4 * PAGE, PAGE)).toEqual(new Uint8Array(PAGE));
      expect(await text(proc, at + 5 * PAGE, 2)).toBe("er");
      await proc.munmap(other, 9 * PAGE);
      expect(await maps(proc, other)).toEqual([]);
      checkKernel(machine);
    });
  });

  it("maps files: shared writes are the file's, private ones are not", async () => {
    await runInKernel(async (proc, machine) => {
      const contents = Uint8Array.from({ length: 3 * PAGE + 100 }, (_, i) => i * 7 + (i >> 8));
      const fd = await makeFile(proc, "/file", contents);
      const before = await status(proc);
      const shared = await proc.mmap(contents.length, { prot: RW, flags: MAP_SHARED, fd });
      const own = await proc.mmap(2 * PAGE, { prot: RW, flags: MAP_PRIVATE, fd, offset: PAGE });
      expect(await load(proc, shared, contents.length)).toEqual(contents);
      expect(await load(proc, own, 2 * PAGE)).toEqual(contents.subarray(PAGE, 3 * PAGE));
      // The rest of the last page is zeros.
      expect(await load(proc, shared + contents.length, PAGE - 100)).toEqual(new Uint8Array(PAGE - 100));
      expect((await status(proc)).RssFile).toBe(before.RssFile + 6);
      await put(proc, shared + PAGE, "SHARED");
      await put(proc, own + PAGE, "PRIVATE");
      const now = await status(proc);
      expect([now.RssFile, now.RssAnon]).toEqual([before.RssFile + 5, before.RssAnon + 1]);
      expect(await text(proc, own, 6)).toBe("SHARED");
      const read = new Uint8Array(10);
      await proc.pread(fd, read, 2 * PAGE);
      expect(read).toEqual(contents.subarray(2 * PAGE, 2 * PAGE + 10));
      await proc.lseek(fd, 2 * PAGE, 0);
      await proc.write(fd, "WRITE");
      expect(await text(proc, shared + 2 * PAGE, 5)).toBe("WRITE");
      expect(await text(proc, own + PAGE, 7)).toBe("PRIVATE");
      // A child has both: it writes to the file, and to its own copy.
      expect(
        await inChild(proc, async (child) => {
          expect(await text(child, own + PAGE, 7)).toBe("PRIVATE");
          await put(child, own + PAGE, "CHILD'S");
          await put(child, shared, "CHILD");
        }),
      ).toBe(0);
      expect(await text(proc, own + PAGE, 7)).toBe("PRIVATE");
      expect(await text(proc, shared, 5)).toBe("CHILD");
      expect((await maps(proc, own)).map((line) => line.slice(18))).toEqual([
        "rw-p 00001000 /file",
        "rw-s 00000000 /file",
      ]);
      // The mapping outlives descriptor and name.
      await proc.close(fd);
      await proc.unlink("/file");
      expect(await text(proc, shared, 5)).toBe("CHILD");
      await proc.munmap(shared, contents.length);
      await proc.munmap(own, 2 * PAGE);
      const after = await status(proc);
      expect(after.RssFile).toBe(before.RssFile);
      checkKernel(machine);
    });
  });

  it("ends who goes behind a file's end by SIGBUS, also when the file became shorter", async () => {
    await runInKernel(async (proc, machine) => {
      const fd = await makeFile(proc, "/file", new Uint8Array(2 * PAGE).fill(1));
      const at = await proc.mmap(4 * PAGE, { prot: RW, flags: MAP_SHARED, fd });
      const own = await proc.mmap(2 * PAGE, { prot: RW, flags: MAP_PRIVATE | MAP_POPULATE, fd });
      expect(await inChild(proc, (child) => load(child, at + 2 * PAGE, 1))).toBe(SIGBUS);
      expect(await inChild(proc, (child) => put(child, at + 3 * PAGE, "x"))).toBe(SIGBUS);
      expect(await load(proc, at + PAGE, 1)).toEqual(new Uint8Array([1]));
      const before = await status(proc);
      await proc.close(await proc.open("/file", O_WRONLY | O_TRUNC));
      const after = await status(proc);
      expect([after.RssFile, after.RssAnon]).toEqual([before.RssFile - 1, before.RssAnon - 2]);
      expect(await inChild(proc, (child) => load(child, at, 1))).toBe(SIGBUS);
      expect(await inChild(proc, (child) => load(child, own, 1))).toBe(SIGBUS);
      await proc.write(fd, new Uint8Array(3 * PAGE));
      await put(proc, at + 4 * PAGE - 1, "e");
      checkKernel(machine);
    });
  });

  it("maps RAM disks: what is written there reaches the disk", async () => {
    await runInKernel(async (proc, machine) => {
      const fd = await proc.open("/dev/ram0", O_RDWR);
      const at = await proc.mmap(4 * PAGE, { prot: RW, flags: MAP_SHARED, fd });
      const drop = async () => {
        const control = await proc.open("/proc/sys/vm/drop_caches", O_WRONLY);
        await proc.write(control, "3");
        await proc.close(control);
      };
      expect(await load(proc, at, 8)).toEqual(new Uint8Array(8));
      for (const value of ["first", "again"]) {
        await put(proc, at + PAGE - 2, value);
        await proc.fsync(fd);
      }
      await put(proc, at + 3 * PAGE, "lost");
      // From the device to a mapping of it that nothing is in yet, and from such a one to the device.
      const raw = proc as Process;
      const other = await proc.mmap(4 * PAGE, { prot: RW, flags: MAP_SHARED, fd, offset: 8 * PAGE });
      expect(await raw.syscall(syscall.pread64, fd, other + PAGE, 2 * PAGE, PAGE - 2, 0)).toBe(2 * PAGE);
      expect(await text(proc, other + PAGE, 5)).toBe("again");
      await proc.lseek(fd, 20 * PAGE, 0);
      expect(await raw.syscall(syscall.write, fd, other + 3 * PAGE, PAGE)).toBe(PAGE);
      // A page behind a file's end is an error of the call's; it ends nobody.
      const file = await makeFile(proc, "/short", "short");
      const short = await proc.mmap(2 * PAGE, { prot: PROT_READ, flags: MAP_SHARED, fd: file });
      expect(await raw.syscall(syscall.write, fd, short + PAGE, 1)).toBe(-14);
      await proc.munmap(at, 4 * PAGE);
      await proc.fsync(fd);
      await drop();
      const back = new Uint8Array(PAGE + 5);
      await proc.pread(fd, back, PAGE - 2);
      expect(new TextDecoder().decode(back.subarray(0, 5))).toBe("again");
      const tail = new Uint8Array(4);
      await proc.pread(fd, tail, 3 * PAGE);
      expect(new TextDecoder().decode(tail)).toBe("lost");
      const again = await proc.mmap(PAGE, { prot: PROT_READ, flags: MAP_PRIVATE, fd, offset: PAGE });
      expect(await text(proc, again, 3)).toBe("ain");
      // What is mapped stays in the cache.
      const mapped = async () => (await readText(proc, "/proc/meminfo")).match(/^Mapped: +(\d+)/m)?.[1];
      const before = await mapped();
      await drop();
      expect(await mapped()).toBe(before);
      checkKernel(machine);
    });
  });

  it("shares memory without a file with children, as /dev/zero", async () => {
    await runInKernel(async (proc, machine) => {
      const shmem = async () => Number((await readText(proc, "/proc/meminfo")).match(/^Shmem: +(\d+)/m)?.[1]);
      const before = await status(proc);
      const none = await shmem();
      const at = await proc.mmap(3 * PAGE, { prot: RW, flags: MAP_SHARED | MAP_ANONYMOUS });
      expect(await inChild(proc, (child) => put(child, at + PAGE, "from a child"))).toBe(0);
      expect(await text(proc, at + PAGE, 12)).toBe("from a child");
      expect(await load(proc, at, 4)).toEqual(new Uint8Array(4));
      const now = await status(proc);
      expect(now).toEqual({ ...before, RssShmem: before.RssShmem + 2, VmRSS: before.VmRSS + 2 });
      expect(await shmem()).toBe(none + 8);
      expect((await maps(proc, at))[0]).toMatch(/ rw-s 00000000 \/dev\/zero \(deleted\)$/);
      checkKernel(machine);
      await proc.munmap(at, 3 * PAGE);
      expect(await shmem()).toBe(none);
      const fd = await proc.open("/dev/zero", O_RDWR);
      const zeros = await proc.mmap(2 * PAGE, { prot: RW, flags: MAP_PRIVATE, fd });
      expect(await inChild(proc, (child) => put(child, zeros, "private"))).toBe(0);
      expect(await load(proc, zeros, 8)).toEqual(new Uint8Array(8));
      const shared = await proc.mmap(2 * PAGE, { prot: RW, flags: MAP_SHARED, fd });
      expect(await inChild(proc, (child) => put(child, shared, "shared"))).toBe(0);
      expect(await text(proc, shared, 6)).toBe("shared");
      expect((await maps(proc, shared)).map((line) => line.slice(18))).toEqual([
        "rw-s 00000000 /dev/zero (deleted)",
        "rw-p 00000000 /dev/zero",
      ]);
      checkKernel(machine);
    });
  });

  it("is the same in maps, smaps, statm and status", async () => {
    await runInKernel(async (proc) => {
      const fd = await makeFile(proc, "/file", new Uint8Array(5 * PAGE).fill(3));
      const file = await proc.mmap(5 * PAGE, { prot: PROT_READ, flags: MAP_SHARED, fd });
      await load(proc, file, 3 * PAGE);
      const own = await proc.mmap(4 * PAGE, PRIVATE);
      await put(proc, own, "mine");
      const shared = await proc.mmap(2 * PAGE, { prot: RW, flags: MAP_SHARED | MAP_ANONYMOUS });
      await put(proc, shared, "ours");
      const check = async (who: Proc, users: number) => {
        const rows = (await readText(who, "/proc/self/smaps")).split(/^(?=[0-9a-f]{8}-)/m);
        const of = (at: number) => {
          const lines =
            rows
              .find((row) => row.startsWith(hex(at)))
              ?.split("\n")
              .slice(1) ?? [];
          return Object.fromEntries(
            lines.map((it) => it.split(/: +/)).map(([k, v]) => [k, v?.replace(" kB", "")]),
          );
        };
        expect(of(file)).toMatchObject({ Size: "20", Rss: "12", Pss: `${12 / users}`, Anonymous: "0" });
        expect(of(file)).toMatchObject({ [users > 1 ? "Shared_Dirty" : "Private_Dirty"]: "12" });
        expect(of(file).VmFlags).toBe("rd mr me ms ".replace("mr", "sh mr mw"));
        expect(of(own)).toMatchObject({ Size: "16", Rss: "4", Anonymous: "4", Pss: `${4 / users}` });
        expect(of(own).VmFlags).toBe("rd wr mr mw me ac ");
        expect(of(shared)).toMatchObject({
          Size: "8",
          Rss: "4",
          Anonymous: "0",
          VmFlags: "rd wr sh mr mw me ms ",
        });
        const sum = (name: string) =>
          rows.reduce(
            (all, row) => all + Number(new RegExp(`^${name}: +(\\d+)`, "m").exec(row)?.[1] ?? 0),
            0,
          );
        const now = await status(who);
        const [size, rss, sharing] = (await readText(who, "/proc/self/statm")).split(" ").map(Number);
        expect(sum("Rss") / 4).toBe(now.VmRSS);
        expect(sum("Anonymous") / 4).toBe(now.RssAnon);
        expect([rss, sharing]).toEqual([now.VmRSS, now.RssFile + now.RssShmem]);
        expect(sum("Size") / 4).toBe(size);
      };
      await check(proc, 1);
      expect(await inChild(proc, (child) => check(child, 2))).toBe(0);
    });
  });

  it("changes what may be done with memory, and with a part of it", async () => {
    await runInKernel(async (proc) => {
      const at = await proc.mmap(3 * PAGE, PRIVATE);
      await put(proc, at + PAGE, "kept");
      await proc.mprotect(at + PAGE, PAGE, PROT_READ);
      expect(await inChild(proc, (child) => put(child, at + PAGE, "x"))).toBe(SIGSEGV);
      expect(await text(proc, at + PAGE, 4)).toBe("kept");
      await proc.mprotect(at, 3 * PAGE, PROT_NONE);
      expect(await inChild(proc, (child) => load(child, at + PAGE, 1))).toBe(SIGSEGV);
      expect((await maps(proc, at)).map((line) => line.slice(18, 22))).toEqual(["---p", "---p", "---p"]);
      await proc.mprotect(at, 2 * PAGE, RW);
      await put(proc, at + PAGE + 4, " and written");
      expect(await text(proc, at + PAGE, 16)).toBe("kept and written");
      expect(await refused(proc.mprotect(at + 1, PAGE, RW))).toBe("EINVAL");
      expect(await refused(proc.mprotect(at, 4 * PAGE, RW))).toBe("ENOMEM");
      const fd = await makeFile(proc, "/file", "text");
      const readable = await proc.open("/file", O_RDONLY);
      const file = await proc.mmap(PAGE, { prot: PROT_READ, flags: MAP_SHARED, fd: readable });
      expect(await refused(proc.mprotect(file, PAGE, RW))).toBe("EACCES");
      await proc.close(fd);
    });
  });

  it("refuses what Linux refuses", async () => {
    await runInKernel(async (proc) => {
      const fd = await makeFile(proc, "/file", "text");
      const reader = await proc.open("/file", O_RDONLY);
      const writer = await proc.open("/file", O_WRONLY);
      const directory = await proc.open("/", O_RDONLY);
      const version = await proc.open("/proc/version", O_RDONLY);
      const nowhere = await proc.open("/dev/null", O_RDWR);
      const [pipe] = await proc.pipe();
      const file = (fd: number, more: Partial<Mapping> = {}): Mapping => ({
        prot: PROT_READ,
        flags: MAP_PRIVATE,
        fd,
        ...more,
      });
      const cases: [string, number, Mapping][] = [
        ["EINVAL", 0, PRIVATE],
        ["ENOMEM", 0xc0000000, PRIVATE],
        ["ENOMEM", 0xb8000000, PRIVATE],
        ["EINVAL", PAGE, { ...PRIVATE, flags: MAP_ANONYMOUS }],
        ["EINVAL", PAGE, { ...PRIVATE, flags: 4 | MAP_ANONYMOUS }],
        ["EINVAL", PAGE, { ...PRIVATE, flags: PRIVATE.flags | MAP_FIXED, address: 0x1001 }],
        ["ENOMEM", 2 * PAGE, { ...PRIVATE, flags: PRIVATE.flags | MAP_FIXED, address: 0xbfffe000 }],
        ["EEXIST", PAGE, { ...PRIVATE, flags: PRIVATE.flags | MAP_FIXED_NOREPLACE, address: 0x400000 }],
        ["EINVAL", PAGE, { ...PRIVATE, flags: PRIVATE.flags | 0x40000 }],
        ["EBADF", PAGE, file(99)],
        ["EBADF", PAGE, file(-1)],
        ["EINVAL", PAGE, file(fd, { offset: 100 })],
        ["EINVAL", PAGE, file(fd, { flags: 0 })],
        ["EACCES", PAGE, file(reader, { prot: RW, flags: MAP_SHARED })],
        ["EACCES", PAGE, file(writer)],
        ["EOPNOTSUPP", PAGE, file(fd, { flags: 3 | 0x80000 })],
        ["ENODEV", PAGE, file(directory)],
        ["ENODEV", PAGE, file(nowhere)],
        ["EIO", PAGE, file(version)],
        ["EACCES", PAGE, file(pipe, { prot: RW, flags: MAP_SHARED })],
        ["ENODEV", PAGE, file(pipe)],
      ];
      for (const [expected, length, mapping] of cases) {
        expect(await refused(proc.mmap(length, mapping)), JSON.stringify(mapping)).toBe(expected);
      }
      expect(await refused(proc.munmap(0x1001, PAGE))).toBe("EINVAL");
      expect(await refused(proc.munmap(0x1000, 0))).toBe("EINVAL");
      expect(await refused(proc.munmap(0xbfff0000, 0x10000))).toBe("EINVAL");
      await proc.munmap(0x1000, PAGE);
      expect(await refused(proc.mmap(PAGE, file(reader, { prot: PROT_READ | PROT_EXEC })))).toBe("nothing");
    });
  });
});
