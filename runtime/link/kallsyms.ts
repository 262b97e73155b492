/**
 * kallsyms, the kernel's own symbol table, in the format of Linux 5.15 (scripts/kallsyms.c,
 * kernel/kallsyms.c) with CONFIG_KALLSYMS_BASE_RELATIVE and CONFIG_KALLSYMS_ABSOLUTE_PERCPU, sorted by
 * address:
 *
 *     kallsyms_offsets        s32 each: >= 0 an absolute (per-CPU) value, else -1 - (address - relative_base)
 *     kallsyms_relative_base  u64
 *     kallsyms_num_syms       u32
 *     kallsyms_names          per symbol: u8 length, that many tokens; expanded, type letter and name
 *     kallsyms_markers        u32: offset in kallsyms_names of every 256th symbol
 *     kallsyms_token_table    256 NUL-terminated strings
 *     kallsyms_token_index    u16: offset of each token in the table
 */
import { ByteWriter } from "./bytes.ts";
import { LinkError } from "./error.ts";

export interface KallsymsEntry {
  name: string;
  letter: string;
  /** Virtual address, or a per-CPU offset when `absolute`. */
  value: bigint;
  absolute: boolean;
}

/** One table: its symbol and bytes, to be laid out in this order. */
export interface KallsymsPart {
  symbol: string;
  bytes: Uint8Array;
}

const TOKENS = 256;
const SYMBOLS_PER_MARKER = 256;

/** How often each pair of neighbouring tokens occurs; a pair is first | second << 8. */
class PairCounts {
  readonly counts = new Int32Array(TOKENS * TOKENS);

  add(symbol: readonly number[], sign: 1 | -1): void {
    for (let at = 0; at + 1 < symbol.length; at++) {
      const pair = (symbol[at] as number) | ((symbol[at + 1] as number) << 8);
      this.counts[pair] = (this.counts[pair] as number) + sign;
    }
  }

  /** The most frequent pair, the lowest number among equals; -1 when none occurs twice. */
  best(): number {
    let best = -1;
    let count = 1;
    for (let pair = 0; pair < this.counts.length; pair++) {
      if ((this.counts[pair] as number) > count) {
        count = this.counts[pair] as number;
        best = pair;
      }
    }
    return best;
  }
}

/** The symbol with `token` for each occurrence of the pair; null when there is none. */
function replacePair(symbol: readonly number[], pair: number, token: number): number[] | null {
  const first = pair & 0xff;
  const second = pair >> 8;
  let out: number[] | null = null;
  for (let at = 0; at < symbol.length; at++) {
    if (symbol[at] === first && symbol[at + 1] === second) {
      out ??= symbol.slice(0, at);
      out.push(token);
      at++;
    } else {
      out?.push(symbol[at] as number);
    }
  }
  return out;
}

/**
 * Compresses as scripts/kallsyms.c does: characters in use stand for themselves; each unused code, from 255
 * down, becomes the pair of tokens that is then the most frequent.
 */
function compress(names: readonly string[]): { symbols: number[][]; tokens: string[] } {
  const symbols = names.map((name) => Array.from(name, (char) => char.charCodeAt(0)));
  const tokens: string[] = new Array(TOKENS).fill("");
  const used = new Set(symbols.flat());
  for (const code of used) tokens[code] = String.fromCharCode(code);
  const pairs = new PairCounts();
  for (const symbol of symbols) pairs.add(symbol, 1);
  for (let code = TOKENS - 1; code >= 0; code--) {
    if (used.has(code)) continue;
    const pair = pairs.best();
    if (pair < 0) break;
    tokens[code] = `${tokens[pair & 0xff]}${tokens[pair >> 8]}`;
    for (let index = 0; index < symbols.length; index++) {
      const symbol = symbols[index] as number[];
      const shorter = replacePair(symbol, pair, code);
      if (shorter === null) continue;
      pairs.add(symbol, -1);
      pairs.add(shorter, 1);
      symbols[index] = shorter;
    }
  }
  return { symbols, tokens };
}

/** The tables for `entries`, which must be sorted by value; empty ones, with num_syms 0, for no entries. */
export function buildKallsyms(entries: readonly KallsymsEntry[]): KallsymsPart[] {
  const offsets = new ByteWriter();
  const names = new ByteWriter();
  const markers = new ByteWriter();
  const table = new ByteWriter();
  const index = new ByteWriter();
  const base = entries.find((it) => !it.absolute)?.value ?? 0n;
  for (const { name, value, absolute } of entries) {
    const offset = absolute ? value : -1n - (value - base);
    if (offset < -0x80000000n || offset > 0x7fffffffn) throw new LinkError(`kallsyms cannot hold ${name}`);
    offsets.u32le(Number(BigInt.asUintN(32, offset)));
  }
  if (entries.length > 0) {
    const { symbols, tokens } = compress(entries.map((it) => it.letter + it.name));
    symbols.forEach((symbol, position) => {
      if (position % SYMBOLS_PER_MARKER === 0) markers.u32le(names.length);
      if (symbol.length > 255)
        throw new LinkError(`the symbol ${entries[position]?.name} is too long for kallsyms`);
      names.u8(symbol.length, ...symbol);
    });
    for (const token of tokens) {
      index.u16le(table.length);
      table.bytes(new TextEncoder().encode(token)).u8(0);
    }
  }
  return [
    { symbol: "kallsyms_offsets", bytes: offsets.finish() },
    { symbol: "kallsyms_relative_base", bytes: new ByteWriter().u64le(base).finish() },
    { symbol: "kallsyms_num_syms", bytes: new ByteWriter().u32le(entries.length).finish() },
    { symbol: "kallsyms_names", bytes: names.finish() },
    { symbol: "kallsyms_markers", bytes: markers.finish() },
    { symbol: "kallsyms_token_table", bytes: table.finish() },
    { symbol: "kallsyms_token_index", bytes: index.finish() },
  ];
}
