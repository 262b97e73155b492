/** Memory of the program that runs: user addresses, page by page through the CPU's page tables. */

import type { Machine } from "../machine/machine.ts";
import { PAGE_SIZE } from "../machine/memory.ts";
import { walkUser } from "../machine/mmu.ts";

/** Bits of a page fault's error code. */
const PF_PROT = 1;
const PF_WRITE = 2;
const PF_USER = 4;
const PF_INSTR = 16;

/** An access that the page tables do not allow. `errorCode` is what the hardware says of it. */
export class SegmentationFault extends Error {
  constructor(
    readonly address: number,
    readonly errorCode = PF_USER,
  ) {
    super(`segmentation fault at 0x${address.toString(16)}`);
    this.name = "SegmentationFault";
  }
}

export class UserMemory {
  readonly #machine: Machine;
  readonly #accessed: boolean;

  /** `accessed`: reads and writes leave their mark in the page tables, as a program's do. */
  constructor(machine: Machine, { accessed } = { accessed: true }) {
    this.#machine = machine;
    this.#accessed = accessed;
  }

  /** Fills `into` from `address` on. */
  read(address: number, into: Uint8Array): void {
    const { memory } = this.#machine;
    this.#pages(address, into.length, false, (pa, at, length) => into.set(memory.slice(pa, length), at));
  }

  write(address: number, bytes: Uint8Array): void {
    const { memory } = this.#machine;
    this.#pages(address, bytes.length, true, (pa, at, length) => {
      memory.write(pa, bytes.subarray(at, at + length));
    });
  }

  /**
   * The error code of the page fault that fetching an instruction at `address` raises; undefined when it may
   * be fetched.
   */
  fetchFault(address: number): number | undefined {
    const { memory, cpu } = this.#machine;
    if (cpu === undefined) return PF_USER | PF_INSTR;
    if (walkUser(memory, cpu.cr3, address, { write: false, execute: true }) !== undefined) return undefined;
    const present = walkUser(memory, cpu.cr3, address, { write: false }) !== undefined;
    return PF_USER | PF_INSTR | (present ? PF_PROT : 0);
  }

  /** Exact up to 2^53. */
  u64(address: number): number {
    const bytes = new Uint8Array(8);
    this.read(address, bytes);
    const view = new DataView(bytes.buffer);
    return view.getUint32(4, true) * 2 ** 32 + view.getUint32(0, true);
  }

  /** Up to a NUL, or to `max` bytes. */
  string(address: number, max: number): string {
    const decoder = new TextDecoder();
    let text = "";
    for (let at = 0; at < max; ) {
      const piece = new Uint8Array(Math.min(max - at, PAGE_SIZE - ((address + at) % PAGE_SIZE)));
      this.read(address + at, piece);
      const nul = piece.indexOf(0);
      if (nul >= 0) return text + decoder.decode(piece.subarray(0, nul));
      text += decoder.decode(piece, { stream: true });
      at += piece.length;
    }
    return text + decoder.decode();
  }

  #pages(
    address: number,
    length: number,
    write: boolean,
    visit: (pa: number, at: number, length: number) => void,
  ): void {
    const { memory, cpu } = this.#machine;
    for (let at = 0; at < length; ) {
      const va = address + at;
      const piece = Math.min(length - at, PAGE_SIZE - (va % PAGE_SIZE));
      const pa =
        cpu === undefined ? undefined : walkUser(memory, cpu.cr3, va, { write, accessed: this.#accessed });
      if (pa === undefined) {
        const present = cpu !== undefined && walkUser(memory, cpu.cr3, va, { write: false }) !== undefined;
        throw new SegmentationFault(va, PF_USER | (write ? PF_WRITE : 0) | (present ? PF_PROT : 0));
      }
      visit(pa, at, piece);
      at += piece;
    }
  }
}
