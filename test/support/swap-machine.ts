/** A machine with a swap area, for tests of reclaim: programs fill their heaps and look at them again. */
import type { Machine } from "../../runtime/index.ts";
import { syscall } from "../../runtime/machine/x86.ts";
import type { Proc } from "../../runtime/user/proc.ts";
import type { Process } from "../../runtime/user/process.ts";
import { runner } from "../../tools/init/exec.ts";
import { mkswap, prepareSwap, swapoff, swapon } from "../../tools/swap/swap.ts";
import { type KernelRun, type KernelRunOptions, readText, runInKernel } from "./kernel-program.ts";

export const PAGE = 4096;
const PROGRAMS = { mkswap, swapoff, swapon };

export const run = runner(PROGRAMS);

/** Runs `program` as init of a machine that has `kilobytes` of swap on /dev/ram1, or none for 0. */
export function withSwap(
  kilobytes: number,
  program: (proc: Proc, machine: Machine) => Promise<void>,
  options: KernelRunOptions = {},
): Promise<KernelRun> {
  const files = Object.keys(PROGRAMS).map((name) => {
    const file = { mode: 0o755, contents: `#!program ${name}\n` };
    return [`/sbin/${name}`, file] as const;
  });
  return runInKernel(
    async (proc, machine) => {
      await prepareSwap(proc, run, [`wkdump.swap=${kilobytes}`]);
      await program(proc, machine);
    },
    { ...options, programs: { ...PROGRAMS, ...options.programs }, files: Object.fromEntries(files) },
  );
}

/** Numbers of a file of lines NAME [:] NUMBER. */
export async function numbers(proc: Proc, path: string): Promise<Record<string, number>> {
  const text = await readText(proc, path);
  return Object.fromEntries(
    [...text.matchAll(/^(\S+?):?\s+(\d+)/gm)].map(([, name, value]) => [name as string, Number(value)]),
  );
}

/** A page that no other is like. */
export function pattern(page: number, salt = 0): Uint8Array {
  const words = new Uint32Array(PAGE / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(page * 1024 + i + 1, 0x9e3779b1) ^ salt;
  return new Uint8Array(words.buffer);
}

/** Pages behind the program's heap; what they hold goes through a pipe to be looked at. */
export class Heap {
  readonly #proc: Process;
  readonly #start: number;
  #pages = 0;
  #pipe: [number, number] | undefined;

  private constructor(proc: Process, start: number) {
    this.#proc = proc;
    this.#start = start;
  }

  static async behind(proc: Proc): Promise<Heap> {
    const process = proc as Process;
    // The arena has its full size from the first large call on.
    await process.sbrk(new Uint8Array(0));
    return new Heap(process, await process.syscall(syscall.brk, 0));
  }

  get pages(): number {
    return this.#pages;
  }

  address(index: number): number {
    return this.#start + index * PAGE;
  }

  /** The same heap as another process has it that was forked. */
  of(child: Proc): Heap {
    const heap = new Heap(child as Process, this.#start);
    heap.#pages = this.#pages;
    return heap;
  }

  async grow(pages: number, salt = 0): Promise<void> {
    const data = new Uint8Array(pages * PAGE);
    for (let i = 0; i < pages; i++) data.set(pattern(this.#pages + i, salt), i * PAGE);
    await this.#proc.sbrk(data);
    this.#pages += pages;
  }

  /** The last pages go. */
  async shrink(pages: number): Promise<void> {
    this.#pages -= pages;
    await this.#proc.syscall(syscall.brk, this.#start + this.#pages * PAGE);
  }

  /** Another content for a page, by a read of a pipe. */
  async overwrite(index: number, salt: number): Promise<void> {
    const [from, to] = await this.#proc.pipe();
    await this.#proc.write(to, pattern(index, salt));
    await this.#proc.syscall(syscall.read, from, this.#start + index * PAGE, PAGE);
    await this.#proc.close(from);
    await this.#proc.close(to);
  }

  /** What a page holds, as the kernel reads it on the program's behalf. */
  async page(index: number): Promise<Uint8Array> {
    this.#pipe ??= await this.#proc.pipe();
    const bytes = new Uint8Array(PAGE);
    await this.#proc.syscall(syscall.write, this.#pipe[1], this.#start + index * PAGE, PAGE);
    await this.#proc.read(this.#pipe[0], bytes);
    return bytes;
  }

  /** Pages that do not hold what grow() put there. */
  async wrong(salt = 0): Promise<number[]> {
    const wrong: number[] = [];
    for (let index = 0; index < this.#pages; index++) {
      const found = Buffer.from(await this.page(index));
      if (!found.equals(pattern(index, salt))) wrong.push(index);
    }
    return wrong;
  }
}
