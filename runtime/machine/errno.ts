/** The way from an error number to its name and back; the numbers are the kernel's. */
import { errno } from "../../kernel-wasm/abi/errno.ts";

export { errno };

export type ErrnoName = keyof typeof errno;

const names = new Map<number, string>(Object.entries(errno).map(([name, number]) => [number, name]));

/** `number` is positive. A number without a name here reads as "errno N". */
export function errnoName(number: number): string {
  return names.get(number) ?? `errno ${number}`;
}

/**
 * Linux's number for an error name as engines give it (`error.code`); undefined when Linux has no such
 * name.
 */
export function errnoNumber(name: string): number | undefined {
  return Object.hasOwn(errno, name) ? errno[name as ErrnoName] : aliases[name];
}

const aliases: Record<string, number> = { EWOULDBLOCK: 11, ENOTSUP: 95, EDEADLOCK: 35 };
