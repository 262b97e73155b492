/**
 * The memory of a vfork's child, as glibc's posix_spawn has it: the parent writes the record, the child,
 * which shares the parent's memory and has the record as its stack, does what it says and ends in execve.
 * The parent sleeps in clone(2) until then.
 *
 *     0   address of the child's function      16  argv[], NULL
 *     8   errno of what failed, else 0             envp[], NULL, then the strings
 */

import { syscall } from "../machine/x86.ts";
import type { Context } from "./context.ts";
import { store } from "./fault.ts";
import type { UserMemory } from "./memory.ts";

const ERROR = 8;
const TABLES = 16;
/** What a shell's child exits with when there is no program. */
const STATUS_NOT_FOUND = 127;

export class SpawnRecord {
  readonly #memory: UserMemory;
  readonly #at: number;
  /** Path, arguments, environment, each with its NUL. */
  readonly #strings: readonly Uint8Array[];
  readonly #argc: number;

  constructor(memory: UserMemory, at: number, strings: readonly Uint8Array[], argc: number) {
    this.#memory = memory;
    this.#at = at;
    this.#strings = strings;
    this.#argc = argc;
  }

  static size(strings: readonly Uint8Array[]): number {
    return SpawnRecord.#text(strings) + strings.reduce((sum, { length }) => sum + length, 0);
  }

  /** Where the strings begin: behind a pointer for each but the path, and two NULLs. */
  static #text(strings: readonly Uint8Array[]): number {
    return TABLES + (strings.length + 1) * 8;
  }

  /** What the parent writes; `start` is the child's function. */
  bytes(start: number): Uint8Array {
    const bytes = new Uint8Array(SpawnRecord.size(this.#strings));
    const view = new DataView(bytes.buffer);
    view.setUint32(0, start, true);
    let at = SpawnRecord.#text(this.#strings);
    this.#strings.forEach((string, i) => {
      // The slot behind argv's last pointer stays NULL.
      const slot = TABLES + (i - 1 + (i > this.#argc ? 1 : 0)) * 8;
      if (i > 0) view.setUint32(slot, this.#at + at, true);
      bytes.set(string, at);
      at += string.length;
    });
    return bytes;
  }

  /** In the child. Its calls go straight to the kernel: the parent's arena is not its own. */
  async run(child: Context, dup: readonly (readonly [from: number, to: number])[]): Promise<void> {
    let result = 0;
    for (const [from, to] of dup) {
      if (result >= 0) result = await child.syscall(syscall.dup2, from, to);
    }
    if (result >= 0) {
      const path = this.#at + SpawnRecord.#text(this.#strings);
      const argv = this.#at + TABLES;
      result = await child.syscall(syscall.execve, path, argv, argv + (this.#argc + 1) * 8);
    }
    const error = Uint8Array.of(-result & 0xff, (-result >> 8) & 0xff);
    await store(child, this.#memory, this.#at + ERROR, error);
    await child.syscall(syscall.exit_group, STATUS_NOT_FOUND);
  }

  /** In the parent, when the child has ended or has its own memory. */
  get error(): number {
    return this.#memory.u64(this.#at + ERROR);
  }
}
