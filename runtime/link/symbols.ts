/**
 * The symbol table of an image: what abi placed, what the link step made, and the section symbols. Gives
 * System.map and the entries of kallsyms.
 */
import type { KallsymsEntry } from "./kallsyms.ts";
import type { Text } from "./text.ts";

/** A symbol that abi placed: offset from __base, or from 0 in the per-CPU section. */
export interface PlacedSymbol {
  name: string;
  offset: number;
  size: number;
  section: string;
  /** nm's letter, when it is not the section's. */
  letter?: string;
}

export interface LinkedSymbol {
  name: string;
  /** Virtual address; of a per-CPU symbol its offset in the area, as in Linux's System.map. */
  value: bigint;
  size: number;
  letter: string;
  section: string;
  perCpu: boolean;
}

/** The per-CPU area's size is a multiple of it. */
const CACHE_LINE = 64;

export function isPerCpu(section: string): boolean {
  return section.includes("percpu");
}

function isRodata(section: string): boolean {
  return section.includes("rodata");
}

function isBss(section: string): boolean {
  return section.includes("bss");
}

function letterOf(section: string): string {
  return isRodata(section) ? "R" : isBss(section) ? "B" : "D";
}

/**
 * Bounds of a kind of section, seen from the symbols in it: offsets from __base; null when it has no
 * symbols.
 */
function extent(
  symbols: readonly PlacedSymbol[],
  belongs: (section: string) => boolean,
): [number, number] | null {
  const inside = symbols.filter((it) => belongs(it.section) && !isPerCpu(it.section));
  if (inside.length === 0) return null;
  return [Math.min(...inside.map((it) => it.offset)), Math.max(...inside.map((it) => it.offset + it.size))];
}

/**
 * Linux's section symbols (include/asm-generic/sections.h), offsets from __base, for those that abi does
 * not place itself: where a kind of section has no symbols, both its ends lie where the next one begins.
 */
export function sectionSymbols(
  symbols: readonly PlacedSymbol[],
  dataSize: number,
  dataEnd: number,
): PlacedSymbol[] {
  const rodata = extent(symbols, isRodata) ?? [0, 0];
  const bss = extent(symbols, isBss) ?? [dataSize, dataEnd];
  const data = extent(symbols, (section) => !isRodata(section) && !isBss(section)) ?? [rodata[1], dataSize];
  const made: [string, number, string][] = [
    ["__end_rodata", rodata[1], ".rodata"],
    ["_sdata", data[0], ".data"],
    ["_edata", Math.max(data[1], Math.min(dataSize, bss[0])), ".data"],
    ["__bss_start", bss[0], ".bss"],
    ["__bss_stop", bss[1], ".bss"],
    ["_end", dataEnd, ".bss"],
  ];
  const perCpu = symbols.filter((it) => isPerCpu(it.section));
  if (perCpu.length > 0) {
    const end = Math.max(...perCpu.map((it) => it.offset + it.size));
    made.push(["__per_cpu_start", 0, ".data..percpu"]);
    made.push(["__per_cpu_end", Math.ceil(end / CACHE_LINE) * CACHE_LINE, ".data..percpu"]);
  }
  const placed = new Set(symbols.map((it) => it.name));
  return made
    .filter(([name]) => !placed.has(name))
    .map(([name, offset, section]) => ({ name, offset, size: 0, section }));
}

/**
 * Functions and thunks. As everywhere in C, a name that occurs more than once belongs to static functions:
 * `t`.
 */
export function textSymbols(text: Text, linkAddress: bigint): LinkedSymbol[] {
  const occurrences = new Map<string, number>();
  for (const { symbol } of text.functions) occurrences.set(symbol, (occurrences.get(symbol) ?? 0) + 1);
  return text.functions.map(({ symbol, address, size }) => ({
    name: symbol,
    value: linkAddress + BigInt(address),
    size,
    letter: occurrences.get(symbol) === 1 ? "T" : "t",
    section: ".text",
    perCpu: false,
  }));
}

/** A symbol given by its offset from `base`, the virtual address of __base. */
export function dataSymbol(symbol: PlacedSymbol, base: bigint): LinkedSymbol {
  const perCpu = isPerCpu(symbol.section);
  return {
    name: symbol.name,
    value: BigInt(symbol.offset) + (perCpu ? 0n : base),
    size: symbol.size,
    letter: symbol.letter ?? letterOf(symbol.section),
    section: symbol.section,
    perCpu,
  };
}

/** By address; symbols of one address keep their order. */
export function sortSymbols(symbols: readonly LinkedSymbol[]): LinkedSymbol[] {
  return [...symbols].sort((a, b) => (a.value < b.value ? -1 : a.value > b.value ? 1 : 0));
}

/** nm's lines, as Linux's System.map has them. `symbols` are sorted. */
export function systemMap(symbols: readonly LinkedSymbol[]): string {
  return symbols.map((it) => `${it.value.toString(16).padStart(16, "0")} ${it.letter} ${it.name}\n`).join("");
}

export function kallsymsEntries(symbols: readonly LinkedSymbol[]): KallsymsEntry[] {
  return symbols.map(({ name, letter, value, perCpu }) => ({ name, letter, value, absolute: perCpu }));
}
