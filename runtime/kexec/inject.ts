/** Damage on purpose: a byte of memory changed at a given point of the crash, to see what notices. */

import { BootError } from "../boot/error.ts";
import type { PhysicalMemory } from "../machine/memory.ts";

/**
 * panic: on the jump into purgatory. purgatory: on the jump out of it. capture: when the capture kernel
 * first enters user mode.
 */
export type InjectionPoint = "panic" | "purgatory" | "capture";

export interface Injection {
  /** Physical address of the byte. */
  phys: number;
  /** 1 to 255. */
  xor: number;
  at: InjectionPoint;
}

/** BootError for an injection that could not happen in memory of `size` bytes. */
export function checkInjections(injections: readonly Injection[], size: number): void {
  for (const { phys, xor } of injections) {
    if (!Number.isInteger(phys) || phys < 0 || phys >= size) {
      throw new BootError(`inject: physical address 0x${phys.toString(16)} is not in memory (${size} bytes)`);
    }
    if (!Number.isInteger(xor) || xor < 1 || xor > 255)
      throw new BootError(`inject: xor=${xor} is not from 1 to 255`);
  }
}

export function inject(memory: PhysicalMemory, injections: readonly Injection[], at: InjectionPoint): void {
  for (const { phys, xor, at: point } of injections) {
    if (point === at) memory.setU8(phys, memory.u8(phys) ^ xor);
  }
}
