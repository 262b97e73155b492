/** Mappings that several CPUs use at once: faults against truncation, writeback, reads and other faults. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  O_CREAT,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  PROT_READ,
  PROT_WRITE,
  type Proc,
} from "../../runtime/user/proc.ts";
import { CrashedKernel } from "../../tools/crashed/kernel.ts";
import { SystemMap } from "../../tools/crashed/system-map.ts";
import { checkPages } from "../../tools/fuzz/check/pages.ts";
import { built } from "../support/boot.ts";
import { readText, runInKernel } from "../support/kernel-program.ts";

const PAGE = 4096;
const RW = PROT_READ | PROT_WRITE;
const CHILDREN = 4;
const ROUNDS = 25;
const SIGBUS = 7;

/** Adds one to the program's own byte of each page of a mapping, again and again. */
async function count(proc: Proc, at: number, pages: number, slot: number, rounds = ROUNDS): Promise<void> {
  const byte = new Uint8Array(1);
  for (let round = 0; round < rounds; round++) {
    for (let page = 0; page < pages; page++) {
      await proc.load(at + page * PAGE + slot, byte);
      byte[0] = (byte[0] as number) + 1;
      await proc.store(at + page * PAGE + slot, byte);
    }
  }
}

async function children(proc: Proc, body: (child: Proc, slot: number) => Promise<void>): Promise<number[]> {
  const pids: number[] = [];
  for (let slot = 0; slot < CHILDREN; slot++) {
    pids.push(
      await proc.fork(async (child) => {
        await body(child, slot);
        return 0;
      }),
    );
  }
  const ends: number[] = [];
  for (const pid of pids) ends.push((await proc.wait(pid)).status);
  return ends;
}

async function load(proc: Proc, at: number, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length);
  await proc.load(at, into);
  return into;
}

describe.skipIf(!existsSync(built("vmlinuz"))).each([1, 2, 3])("mappings on four CPUs, seed %i", (seed) => {
  it("lose nothing that is written, and no page", async () => {
    const { console } = await runInKernel(
      async (proc, machine) => {
        const disk = await proc.open("/dev/ram0", O_RDWR);
        const file = await proc.open("/file", O_RDWR | O_CREAT, 0o600);
        await proc.write(file, new Uint8Array(3 * PAGE));
        const free = Number((await readText(proc, "/proc/meminfo")).match(/MemFree: +(\d+)/)?.[1]);
        const onDisk = await proc.mmap(3 * PAGE, { prot: RW, flags: MAP_SHARED, fd: disk });
        const inFile = await proc.mmap(3 * PAGE, { prot: RW, flags: MAP_SHARED, fd: file });
        const memory = await proc.mmap(3 * PAGE, { prot: RW, flags: MAP_SHARED | MAP_ANONYMOUS });
        const ends = await children(proc, async (child, slot) => {
          // Its own mapping of the disk, so that writeback meets several.
          const own = await child.mmap(3 * PAGE, { prot: RW, flags: MAP_SHARED, fd: disk });
          for (let i = 0; i < 5; i++) {
            await count(child, own, 3, slot, ROUNDS / 5);
            await count(child, inFile, 3, slot, ROUNDS / 5);
            await count(child, memory, 3, slot, ROUNDS / 5);
            if (slot === 0) await child.fsync(disk);
            // From a mapping to the file that it maps, and back.
            if (slot === 1) await child.pread(disk, new Uint8Array(2 * PAGE), 100);
          }
        });
        expect(ends).toEqual([0, 0, 0, 0]);
        for (const at of [onDisk, inFile, memory]) {
          for (let page = 0; page < 3; page++) {
            expect([...(await load(proc, at + page * PAGE, CHILDREN))]).toEqual(Array(CHILDREN).fill(ROUNDS));
          }
        }
        await proc.munmap(onDisk, 3 * PAGE);
        await proc.munmap(memory, 3 * PAGE);
        await proc.fsync(disk);
        const control = await proc.open("/proc/sys/vm/drop_caches", O_WRONLY);
        await proc.write(control, "3");
        const back = new Uint8Array(CHILDREN);
        await proc.pread(disk, back, 2 * PAGE);
        expect([...back]).toEqual(Array(CHILDREN).fill(ROUNDS));
        // The file gets shorter and longer while it is used: who is behind its end then is ended.
        const late = await children(proc, async (child, slot) => {
          const own = await child.mmap(3 * PAGE, { prot: RW, flags: MAP_PRIVATE, fd: file });
          for (let i = 0; i < 12; i++) {
            if (slot === 0) {
              await child.close(await child.open("/file", O_RDWR | O_TRUNC));
              await child.lseek(file, 0, 0);
              await child.write(file, new Uint8Array(3 * PAGE));
            } else {
              await count(child, slot === 1 ? own : inFile, 3, slot, 2);
            }
          }
        });
        expect(late.filter((end) => end !== 0 && end !== SIGBUS)).toEqual([]);
        await proc.munmap(inFile, 3 * PAGE);
        await proc.close(file);
        await proc.unlink("/file");
        const after = Number((await readText(proc, "/proc/meminfo")).match(/MemFree: +(\d+)/)?.[1]);
        expect(free - after).toBeLessThan(400);
        const symbols = SystemMap.parse(new Uint8Array(readFileSync(built("System.map"))));
        const kernel = new CrashedKernel(new DataView(machine.memory.bytes.slice().buffer), symbols);
        expect(() => checkPages(kernel)).not.toThrow();
      },
      { seed, cpus: 4, limit: 600_000 },
    );
    expect(console).not.toMatch(/BUG|Bad page|WARNING/);
  });
});
