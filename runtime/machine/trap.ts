/**
 * From a trap of WebAssembly to an exception of x86. Every engine has its own words for a trap, and appends
 * to them at will (Bun adds "(evaluating ...)"), so the table holds what their messages contain.
 */

import { X86_TRAP_AC, X86_TRAP_DE, X86_TRAP_DF, X86_TRAP_GP, X86_TRAP_PF, X86_TRAP_UD } from "./x86.ts";

interface Trap {
  vector: number;
  /** The trap's name, the same on every engine. */
  name: string;
}

const traps: readonly (Trap & { pattern: RegExp })[] = [
  { vector: X86_TRAP_UD, name: "unreachable", pattern: /unreachable/i },
  // Before the memory's, whose words the table's contain.
  {
    vector: X86_TRAP_GP,
    name: "table index out of bounds",
    pattern: /table index|table access|call_indirect.*out|out of bounds call_indirect/i,
  },
  {
    vector: X86_TRAP_GP,
    name: "indirect call of another type",
    pattern: /signature|null function|null table/i,
  },
  { vector: X86_TRAP_GP, name: "float out of the integer's range", pattern: /float unrepresentable|trunc/i },
  { vector: X86_TRAP_PF, name: "memory access out of bounds", pattern: /out of bounds/i },
  {
    vector: X86_TRAP_DE,
    name: "divide error",
    pattern:
      /divide by zero|remainder by zero|division by zero|divide result unrepresentable|integer overflow/i,
  },
  { vector: X86_TRAP_AC, name: "unaligned atomic access", pattern: /unaligned/i },
];

/**
 * The exception that an error thrown out of wasm code stands for; undefined for one that is no trap but a
 * bug of the runtime itself, which must not reach the kernel.
 */
export function classifyTrap(error: unknown): Trap | undefined {
  if (error instanceof RangeError && /call stack|recursion/i.test(error.message)) {
    return { vector: X86_TRAP_DF, name: "the engine's stack is used up" };
  }
  if (!(error instanceof WebAssembly.RuntimeError)) return undefined;
  const { message } = error;
  return traps.find(({ pattern }) => pattern.test(message)) ?? { vector: X86_TRAP_GP, name: message };
}
