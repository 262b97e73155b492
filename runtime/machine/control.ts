/**
 * Ways out of wasm code that never return to it. They are thrown by the hardware imports, through the
 * kernel's frames, to the CPU. No Error objects: nobody reads their stack, and making one costs more than
 * the switch.
 */

/** hlt with nothing that could wake the machine. */
export class Halt {}

/** __switch_to: the stack of another task becomes current. */
export class SwitchTo {}

/** Control leaves for the image at `entry` (physical), with `arg` in a register. */
export class Jump {
  constructor(
    readonly entry: number,
    readonly arg: number,
  ) {}
}

/** An access to a virtual address that is not mapped: `lo` and `hi` are the halves of cr2. */
export class PageFault {
  constructor(
    readonly lo: number,
    readonly hi: number,
    readonly errorCode: number,
  ) {}
}

/** The run limit is reached: the machine is stopped from outside. */
export class Expired {}

/** The machine has ended while the CPU waited for its turn. */
export class Quit {}

/** ACPI S5. */
export class PowerOff {}

/** The reset register. */
export class Reset {}
