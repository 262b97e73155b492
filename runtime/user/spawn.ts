/**
 * The memory of a vfork's child, as glibc's posix_spawn has it: the parent writes the record, the child,
 * which shares the parent's memory and has the record as its stack, does what it says and ends in execve.
 * The parent sleeps in clone(2) until then.
 *
 *     0   address of the child's function      16  signal mask of the new program
 *     8   errno of what failed, else 0         24  struct sigaction: SIG_DFL
 *                                              56  argv[], NULL, envp[], NULL, then the strings
 */

import { syscall } from "../machine/x86.ts";
import type { Context } from "./context.ts";
import { loadU64, store } from "./fault.ts";
import type { UserMemory } from "./memory.ts";
import { SIG_SETMASK } from "./proc.ts";
import { SIGACTION_SIZE, SIGSET_SIZE } from "./signals.ts";

const ERROR = 8;
const MASK = 16;
const DEFAULT_ACTION = 24;
const TABLES = DEFAULT_ACTION + SIGACTION_SIZE;
/** What a shell's child exits with when there is no program. */
const STATUS_NOT_FOUND = 127;

/** What the child undoes of its parent's: handlers, and the mask that it was cloned with. */
interface Signals {
  handled: ReadonlySet<number>;
  /** undefined: it has the right one. */
  mask: Uint8Array | undefined;
}

export class SpawnRecord {
  readonly #memory: UserMemory;
  readonly #at: number;
  /** Path, arguments, environment, each with its NUL. */
  readonly #strings: readonly Uint8Array[];
  readonly #argc: number;
  readonly #signals: Signals | undefined;

  constructor(
    memory: UserMemory,
    at: number,
    strings: readonly Uint8Array[],
    argc: number,
    signals?: Signals,
  ) {
    this.#memory = memory;
    this.#at = at;
    this.#strings = strings;
    this.#argc = argc;
    this.#signals = signals;
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
    bytes.set(this.#signals?.mask ?? [], MASK);
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
    if (result >= 0) result = await this.#resetSignals(child);
    if (result >= 0) result = await child.syscall(syscall.execve, ...this.execve);
    const error = Uint8Array.of(-result & 0xff, (-result >> 8) & 0xff);
    await store(child, this.#memory, this.#at + ERROR, error);
    await child.syscall(syscall.exit_group, STATUS_NOT_FOUND);
  }

  /** A signal from here on has its default action. */
  async #resetSignals(child: Context): Promise<number> {
    if (this.#signals?.mask === undefined) return 0;
    for (const signal of this.#signals.handled) {
      const action = this.#at + DEFAULT_ACTION;
      const result = await child.syscall(syscall.rt_sigaction, signal, action, 0, SIGSET_SIZE);
      if (result < 0) return result;
    }
    return child.syscall(syscall.rt_sigprocmask, SIG_SETMASK, this.#at + MASK, 0, SIGSET_SIZE);
  }

  /** The arguments of execve: path, argv, envp. */
  get execve(): [path: number, argv: number, envp: number] {
    const path = this.#at + SpawnRecord.#text(this.#strings);
    const argv = this.#at + TABLES;
    return [path, argv, argv + (this.#argc + 1) * 8];
  }

  /** In the parent, when the child has ended or has its own memory. */
  error(parent: Context): Promise<number> {
    return loadU64(parent, this.#memory, this.#at + ERROR);
  }
}
