/**
 * Arguments in memory, for a kernel that debuggers are to see them in. wasm keeps them where no dump can
 * see it; here a function stores its own, as it got them, above its frame record:
 *
 *     S        the caller's sp, which is the caller's record
 *     S - 8    the return address again: where interrupts and traps look for the last call
 *     S - A    argument 0, argument 1, ..., 8 bytes each
 *     S-A-8    the return address   \  the record; sp
 *     S-A-16   saved rbp = S        /
 *
 * A caller must know A before it stores the return address: by the callee, or by the type of an indirect
 * call. So every function in the table has the area of its type; functions without arguments or without a
 * record have none, nor have those that the hardware or an exception's entry calls, which leave registers
 * directly above the record.
 */
import { EXTERNAL } from "./module.ts";
import type { Program } from "./program.ts";

/** Linux's entry code for exceptions and interrupts is called so. */
const EXCEPTION_ENTRY = "asm_";
const WORD = 8;
const ALIGN = 16;

export class ArgumentAreas {
  /** Function index in the file -> bytes; those without an area are not here. */
  readonly #sizes = new Map<number, number>();
  readonly #program: Program;

  constructor(program: Program) {
    this.#program = program;
    const exported = program.module.exports.filter((it) => it.kind === EXTERNAL.function);
    const without = new Set(exported.map((it) => it.index));
    for (const { frame, symbol, sites } of program.functions) {
      if (frame !== "entry" || !symbol.startsWith(EXCEPTION_ENTRY)) continue;
      for (const site of sites) if (site.kind === "call") without.add(site.callee);
    }
    for (const { index, type, frame } of program.functions) {
      const size = this.ofType(type);
      const fixed = program.tableIndexOf.has(index);
      if (frame === "framed" && size > 0 && (fixed || !without.has(index))) this.#sizes.set(index, size);
    }
  }

  /** Bytes of a function's area. */
  of(index: number): number {
    return this.#sizes.get(index) ?? 0;
  }

  /** Bytes of the area of an indirect call's callee, if it has a record. */
  ofType(type: number): number {
    const count = this.#program.module.types[type]?.params.length ?? 0;
    return count === 0 ? 0 : Math.ceil(((count + 1) * WORD) / ALIGN) * ALIGN;
  }
}
