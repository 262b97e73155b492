/** Arguments of system calls as bytes: strings, words, and where they go in the program's memory. */

import { errno } from "../machine/errno.ts";
import type { Context } from "./context.ts";
import { store } from "./fault.ts";
import type { UserMemory } from "./memory.ts";
import { SyscallError } from "./proc.ts";

/** Where the next argument of a call goes: arguments lie one after another from the arena's start. */
export class Arguments {
  #at: number;
  readonly #context: Context;
  readonly #memory: UserMemory;

  constructor(context: Context, memory: UserMemory, start: number) {
    this.#context = context;
    this.#memory = memory;
    this.#at = start;
  }

  async put(bytes: Uint8Array): Promise<number> {
    const address = this.#at;
    await store(this.#context, this.#memory, address, bytes);
    this.#at += bytes.length;
    return address;
  }
}

/** `text` with its NUL; one inside would cut it short unseen. */
export function cString(text: string, name: string): Uint8Array {
  if (text.includes("\0")) throw new SyscallError(errno.EINVAL, "EINVAL", name);
  return new TextEncoder().encode(`${text}\0`);
}

/** A 64-bit word, exact up to 2^53. */
export function word(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, value % 2 ** 32, true);
  view.setUint32(4, Math.floor(value / 2 ** 32), true);
  return bytes;
}

/** System calls take 32-bit registers: a 64-bit offset goes in two. */
export function low(value: number): number {
  return value | 0;
}

export function high(value: number): number {
  return Math.floor(value / 2 ** 32) | 0;
}
