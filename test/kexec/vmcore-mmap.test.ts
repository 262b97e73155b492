/** /proc/vmcore by mmap(2), in the smallest crash region: the same bytes as by read(2); what is refused. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { currentHost, MemoryFs } from "../../runtime/adapter/index.ts";
import { boot } from "../../runtime/index.ts";
import {
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  type Mapping,
  O_RDONLY,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  type Proc,
} from "../../runtime/user/proc.ts";
import { machinePrograms } from "../../tools/init/programs.ts";
import { MiB } from "../machine/run.ts";
import { built } from "../support/boot.ts";

const PAGE = 4096;
const MEMORY = 8 * MiB;
/** Bytes that are mapped at a time. Not a part of the file begins at a multiple of it. */
const WINDOW = 37 * PAGE;

interface Seen {
  size: number;
  /** Windows whose bytes differ, by their offset. */
  different: number[];
  compared: number;
  /** errno of each refused call. */
  refused: Record<string, string>;
}

const outcome = async (call: Promise<unknown>): Promise<string> => {
  try {
    await call;
  } catch (error) {
    return (error as { code: string }).code;
  }
  return "done";
};

async function look(proc: Proc): Promise<Seen> {
  const fd = await proc.open("/proc/vmcore", O_RDONLY);
  const { size } = await proc.fstat(fd);
  const end = Math.floor(size / PAGE) * PAGE;
  const different: number[] = [];
  let compared = 0;
  for (let offset = 0; offset < end; offset += WINDOW) {
    const length = Math.min(WINDOW, end - offset);
    const flags = (offset / WINDOW) % 2 === 0 ? MAP_PRIVATE : MAP_SHARED;
    const at = await proc.mmap(length, { prot: PROT_READ, flags, fd, offset });
    const mapped = new Uint8Array(length);
    await proc.load(at, mapped);
    const read = new Uint8Array(length);
    // In small pieces: their buffer is the program's memory, of which there is little.
    for (let done = 0; done < length; ) {
      done += await proc.pread(fd, read.subarray(done, done + 2 * PAGE), offset + done);
    }
    if (Buffer.compare(mapped, read) !== 0) different.push(offset);
    compared += length;
    await proc.munmap(at, length);
  }
  // What is left behind is the exit's to take away.
  const at = await proc.mmap(2 * PAGE, { prot: PROT_READ, flags: MAP_PRIVATE, fd });
  await proc.munmap(at, PAGE);
  const ask = (length: number, mapping: Partial<Mapping>) =>
    outcome(proc.mmap(length, { prot: PROT_READ, flags: MAP_PRIVATE, fd, ...mapping }));
  const refused = {
    "beyond the end": await ask(2 * PAGE, { offset: end - PAGE }),
    "behind the end": await ask(PAGE, { offset: end }),
    "larger than the file": await ask(end + PAGE, {}),
    "private, to be written": await ask(PAGE, { prot: PROT_READ | PROT_WRITE }),
    "shared, to be written": await ask(PAGE, { prot: PROT_READ | PROT_WRITE, flags: MAP_SHARED }),
    "to be run": await ask(PAGE, { prot: PROT_READ | PROT_EXEC }),
    "at no page": await ask(PAGE, { offset: 100 }),
    "at no page of memory": await ask(PAGE, { flags: MAP_PRIVATE | MAP_FIXED, address: 0x10000001 }),
    "no bytes": await ask(0, {}),
    "without a descriptor": await ask(PAGE, { fd: 77 }),
    "another file of /proc": await ask(PAGE, { fd: await proc.open("/proc/version", O_RDONLY) }),
    "a file of the host": await ask(PAGE, { fd: await proc.open("/var/crash/x", 0o102) }),
    "and what is allowed": await ask(PAGE, { offset: end - PAGE }),
  };
  return { size, different, compared, refused };
}

describe.skipIf(!existsSync(built("vmlinuz")))("/proc/vmcore by mmap", () => {
  it("is what read gives, byte for byte; and the dump is saved after that", async () => {
    let seen: Seen | undefined;
    const programs = machinePrograms();
    const init = programs.init as (typeof programs)[string];
    const result = await boot({
      image: readFileSync(built("vmlinuz")),
      initrd: readFileSync(built("initrd.img")),
      memory: MEMORY,
      cmdline: "console=ttyS0 crashkernel=1M",
      seed: 1,
      hostfs: new MemoryFs(),
      host: currentHost(),
      console: () => {},
      programs: {
        ...programs,
        init: async (proc: Proc, ...rest) => {
          const capture = (await outcome(proc.stat("/proc/vmcore"))) === "done";
          if (capture) seen = await look(proc);
          return init(proc, ...rest);
        },
      },
    });
    expect(result.outcome).toBe("captured");
    expect(seen?.size).toBeGreaterThan(MEMORY - 2 * MiB);
    expect(seen?.compared).toBe(Math.floor((seen?.size ?? 0) / PAGE) * PAGE);
    expect(seen?.different).toEqual([]);
    expect(seen?.refused).toEqual({
      "beyond the end": "EINVAL",
      "behind the end": "EINVAL",
      "larger than the file": "EINVAL",
      "private, to be written": "EPERM",
      "shared, to be written": "EACCES",
      "to be run": "EPERM",
      "at no page": "EINVAL",
      "at no page of memory": "EINVAL",
      "no bytes": "EINVAL",
      "without a descriptor": "EBADF",
      "another file of /proc": "EIO",
      "a file of the host": "ENODEV",
      "and what is allowed": "done",
    });
  });
});
