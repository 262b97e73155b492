/**
 * The kdump-compressed format's headers for kernel-wasm/collector: constants, and a setter for each member,
 * made of the table in tools/dump/kdump-header.ts that readers and writers in TypeScript go by.
 */
import type { Field } from "../dump/elf-header.ts";
import {
  HEADER_VERSION,
  KDUMP_SIGNATURE,
  KDUMP64,
  UTSNAME_LENGTH,
  UTSNAME_OFFSET,
} from "../dump/kdump-header.ts";

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function setter(name: string, [offset, size]: Field): string {
  const type = `u${size * 8}`;
  return `@inline export function set_${snake(name)}(at: usize, value: u64): void {
  store<${type}>(at, <${type}>value, ${offset});
}
`;
}

/** AssemblyScript. */
export function emitKdump(): string {
  const signature = [...KDUMP_SIGNATURE].reduceRight((sum, c) => (sum << 8n) | BigInt(c.charCodeAt(0)), 0n);
  const constants = [
    `export const HEADER_VERSION: u32 = ${HEADER_VERSION};`,
    `export const KDUMP_SIGNATURE: u64 = 0x${signature.toString(16)};`,
    `export const SUB_HEADER_SIZE: usize = ${KDUMP64.subHeaderSize};`,
    `export const UTSNAME_OFFSET: usize = ${UTSNAME_OFFSET};`,
    `export const UTSNAME_LENGTH: usize = ${UTSNAME_LENGTH};`,
  ];
  const setters = [
    ...Object.entries(KDUMP64.header).map(([name, field]) => setter(name, field)),
    ...Object.entries(KDUMP64.sub).map(([name, [field]]) => setter(name, field)),
  ];
  return `${constants.join("\n")}\n${setters.join("")}`;
}
