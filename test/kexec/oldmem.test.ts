/** /dev/oldmem in the capture kernel: the crashed machine's memory by physical address. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { currentHost, MemoryFs } from "../../runtime/adapter/index.ts";
import { boot } from "../../runtime/index.ts";
import { O_RDONLY, type Proc } from "../../runtime/user/proc.ts";
import { machinePrograms } from "../../tools/init/programs.ts";
import { MiB } from "../machine/run.ts";
import { built } from "../support/boot.ts";

const MEMORY = 16 * MiB;
const PIECE = 8192;
/** The kernel's image, the middle of memory, and its last bytes; across pages, and not aligned. */
const PLACES = [0x100000, 0x300123, 0x7ff801, MEMORY - PIECE];

interface Seen {
  mode: number;
  pieces: Uint8Array[];
  beyond: number[];
}

async function look(proc: Proc): Promise<Seen> {
  const { mode } = await proc.stat("/dev/oldmem");
  const fd = await proc.open("/dev/oldmem", O_RDONLY);
  const pieces: Uint8Array[] = [];
  for (const place of PLACES) {
    const piece = new Uint8Array(PIECE);
    await proc.lseek(fd, place, 0);
    const n = await proc.read(fd, piece);
    pieces.push(piece.subarray(0, n));
  }
  const beyond: number[] = [];
  for (const place of [MEMORY - 5, MEMORY, 2 ** 40]) {
    beyond.push(await proc.pread(fd, new Uint8Array(100), place));
  }
  await proc.close(fd);
  return { mode, pieces, beyond };
}

it("shows old memory as it was, to its end", async () => {
  let seen: Seen | undefined;
  let atCrash = new Uint8Array();
  const programs = machinePrograms();
  const init = programs.init as (typeof programs)[string];
  const result = await boot({
    image: readFileSync(built("vmlinuz")),
    initrd: readFileSync(built("initrd.img")),
    memory: MEMORY,
    cmdline: "console=ttyS0 crashkernel=2M",
    seed: 1,
    hostfs: new MemoryFs(),
    host: currentHost(),
    console: () => {},
    onPhase: (phase, { memory }) => {
      if (phase === "panic") atCrash = memory.copy(0, MEMORY);
    },
    programs: {
      ...programs,
      init: async (proc: Proc, ...rest) => {
        const capture = await proc.stat("/proc/vmcore").then(
          () => true,
          () => false,
        );
        if (capture) seen = await look(proc);
        return init(proc, ...rest);
      },
    },
  });
  expect(result.outcome).toBe("captured");
  expect(seen?.mode).toBe(0o20400);
  PLACES.slice(0, 3).forEach((place, i) => {
    const piece = seen?.pieces[i] as Uint8Array;
    expect(piece.length, place.toString(16)).toBe(PIECE);
    expect(Buffer.compare(piece, atCrash.subarray(place, place + PIECE)), place.toString(16)).toBe(0);
  });
  expect(seen?.pieces[3]?.length).toBe(PIECE);
  expect(seen?.beyond).toEqual([5, 0, 0]);
});
