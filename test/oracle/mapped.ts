/** A dump of a machine whose programs have files, a RAM disk and shared memory mapped, and what they saw. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { currentHost, openDirectory } from "../../runtime/adapter/index.ts";
import { boot } from "../../runtime/index.ts";
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  PROT_READ,
  PROT_WRITE,
  type Proc,
} from "../../runtime/user/proc.ts";
import { machinePrograms } from "../../tools/init/programs.ts";
import { type BootDump, built } from "../support/boot.ts";

const PAGE = 4096;
const RW = PROT_READ | PROT_WRITE;

export interface Mapped {
  /** The child that has it all, asleep. */
  pid: number;
  /** Texts by the address that they were written to. */
  texts: Map<number, string>;
  /** A page of the file's that nothing has touched. */
  untouched: number;
}

export interface MappedDump extends Mapped {
  dump: BootDump;
}

async function put(proc: Proc, texts: Map<number, string>, at: number, text: string): Promise<void> {
  await proc.store(at, new TextEncoder().encode(text));
  texts.set(at, text);
}

async function map(proc: Proc): Promise<Omit<Mapped, "pid">> {
  const texts = new Map<number, string>();
  const fd = await proc.open("/mapped", O_RDWR | O_CREAT, 0o600);
  await proc.write(fd, new Uint8Array(8 * PAGE).fill(0x2e));
  const shared = await proc.mmap(8 * PAGE, { prot: RW, flags: MAP_SHARED, fd });
  await put(proc, texts, shared + 2 * PAGE, "in the file");
  const own = await proc.mmap(8 * PAGE, { prot: RW, flags: MAP_PRIVATE, fd });
  await put(proc, texts, own + 3 * PAGE, "in a copy");
  await proc.load(own + 4 * PAGE, new Uint8Array(1));
  const disk = await proc.open("/dev/ram1", O_RDWR);
  await put(proc, texts, await proc.mmap(PAGE, { prot: RW, flags: MAP_SHARED, fd: disk }), "on the disk");
  const flags = MAP_SHARED | MAP_ANONYMOUS;
  await put(proc, texts, await proc.mmap(4 * PAGE, { prot: RW, flags }), "with a child");
  const anonymous = await proc.mmap(4 * PAGE, { prot: RW, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  await put(proc, texts, anonymous + PAGE, "alone");
  await proc.munmap(anonymous, PAGE);
  return { texts, untouched: shared + 6 * PAGE };
}

/** Boots, has a child map things and sleep, crashes. */
export async function mappedDump(): Promise<MappedDump> {
  const directory = mkdtempSync(join(tmpdir(), "wkdump-"));
  const programs = machinePrograms();
  const init = programs.init as (typeof programs)[string];
  let mapped: Mapped | undefined;
  const result = await boot({
    image: readFileSync(built("vmlinuz")),
    initrd: readFileSync(built("initrd.img")),
    memory: 32 << 20,
    cmdline: "console=ttyS0 crashkernel=2M",
    seed: 3,
    hostfs: openDirectory(directory),
    host: currentHost(),
    console: () => {},
    programs: {
      ...programs,
      init: async (proc: Proc, ...rest) => {
        const first = await proc.open("/proc/vmcore", O_RDONLY).catch(() => -1);
        if (first < 0) {
          const made = await map(proc);
          const pid = await proc.fork(async (child) => {
            await child.sleep(1e9);
            return 0;
          });
          mapped = { ...made, pid };
        } else await proc.close(first);
        return init(proc, ...rest);
      },
    },
  });
  if (result.outcome !== "captured" || mapped === undefined) throw new Error("the machine left no dump");
  const vmcore = join(directory, readdirSync(directory).find((it) => it.startsWith("127")) ?? "", "vmcore");
  const json = { vmlinux: built("vmlinux"), vmcore } as BootDump["json"];
  const remove = () => rmSync(directory, { recursive: true, force: true });
  return { ...mapped, dump: { json, vmcore, dmesg: "", directory, remove } };
}
