/**
 * The text section: an x86 skeleton of the program, never executed, that makes `bt`, `dis` and `sym` of
 * stock tools right. Per function, 16-byte aligned:
 *
 *     -8  0f 1f 84 00       TEXT_MAGIC      with the index one nop: nopl disp32(%rax,%rax,1); what looks up
 *     -4  u32 table index   or NO_TABLE_INDEX            a function pointer checks the magic first
 *      0  55  48 89 e5      push %rbp; mov %rsp,%rbp     (not in entry functions, which push no record)
 *         e8 rel32          one per direct call, in code order, to its real callee
 *         ff d0             one per indirect call: call *%rax
 *         5d  c3            pop %rbp; ret                (entry functions: c3)
 *
 * Hardware imports are thunks: the same 8 bytes, then c3. Gaps are int3. As every function ends in ret, a
 * return address always lies inside its function.
 */
import { ByteWriter } from "./bytes.ts";
import { LinkError } from "./error.ts";
import type { Program } from "./program.ts";
import { type ScannedFunction, type Site, TEXT_ADDRESS_HELPER } from "./scan.ts";

/** u32 at function - TEXT_MAGIC_BEFORE. */
export const TEXT_MAGIC = 0x00841f0f;
export const TEXT_MAGIC_BEFORE = 8;
/** u32 at function - TEXT_INDEX_BEFORE: slot in table 0. */
export const TEXT_INDEX_BEFORE = 4;
/** The index of a function that no function pointer can name. */
export const NO_TABLE_INDEX = 0xffffffff;
export const TEXT_ALIGN = 16;

const PROLOGUE = [0x55, 0x48, 0x89, 0xe5];
const INT3 = 0xcc;
const CALL_SIZE = 5;
const INDIRECT_CALL_SIZE = 2;

/** The symbol of the function that maps computed Function objects, when one is needed. */
export const HELPER_SYMBOL = "text_address";

export type CallSite = Extract<Site, { kind: "call" | "indirect" }>;

export interface PlacedCall {
  site: CallSite;
  /** Offsets from _text: of the call instruction, and of the one behind it. */
  address: number;
  returnAddress: number;
}

export interface PlacedFunction {
  symbol: string;
  /** Offset from _text. */
  address: number;
  size: number;
  calls: PlacedCall[];
  /** null: a thunk or the text_address helper. */
  source: ScannedFunction | null;
}

export interface Text {
  /** From offset `start`; ends page-aligned. */
  bytes: Uint8Array;
  start: number;
  /** In address order. */
  functions: PlacedFunction[];
  /** Function index in the file -> its place. */
  placeOf: Map<number, PlacedFunction>;
  needsHelper: boolean;
  /** Of a loadable module: 32-bit words that are written when it is loaded. */
  relocations: TextRelocation[];
}

/** At offset `at` of the text: the way to a function of the kernel, or a table index. */
export interface TextRelocation {
  at: number;
  kind: "call" | "index";
  symbol: string;
  addend: number;
}

export function isCall(site: Site): site is CallSite {
  return site.kind === "call" || site.kind === "indirect";
}

function skeletonSize(frame: ScannedFunction["frame"], sites: readonly Site[]): number {
  let size = frame === "entry" ? 1 : PROLOGUE.length + 2;
  for (const site of sites) {
    if (isCall(site)) size += site.kind === "call" ? CALL_SIZE : INDIRECT_CALL_SIZE;
  }
  return size;
}

function placeCalls(source: ScannedFunction, from: number): PlacedCall[] {
  let at = from + (source.frame === "entry" ? 0 : PROLOGUE.length);
  return source.sites.filter(isCall).map((site): PlacedCall => {
    const address = at;
    at += site.kind === "call" ? CALL_SIZE : INDIRECT_CALL_SIZE;
    return { site, address, returnAddress: at };
  });
}

/**
 * Lays the skeletons out from offset `start` of the image and writes them; the section is padded to
 * `pageSize`.
 */
export function buildText(program: Program, start: number, pageSize: number): Text {
  const placeOf = new Map<number, PlacedFunction>();
  let end = start;
  const place = (index: number, symbol: string, size: number, source: ScannedFunction | null): void => {
    const address = Math.ceil((end + TEXT_MAGIC_BEFORE) / TEXT_ALIGN) * TEXT_ALIGN;
    placeOf.set(index, {
      symbol,
      address,
      size,
      source,
      calls: source === null ? [] : placeCalls(source, address),
    });
    end = address + size;
  };
  for (const source of program.functions) {
    place(source.index, source.symbol, skeletonSize(source.frame, source.sites), source);
  }
  for (const { index, symbol } of program.hardware) place(index, symbol, 1, null);
  const calls = [...placeOf.values()].flatMap((it) => it.calls);
  const needsHelper = calls.some(({ site }) => site.kind === "call" && site.callee === TEXT_ADDRESS_HELPER);
  if (needsHelper) place(TEXT_ADDRESS_HELPER, HELPER_SYMBOL, 1, null);

  const functions = [...placeOf.values()];
  const relocations: TextRelocation[] = [];
  const out = new ByteWriter();
  for (const [index, it] of placeOf) {
    while (start + out.length < it.address - TEXT_MAGIC_BEFORE) out.u8(INT3);
    const slot = program.tableIndexOf.get(index);
    if (slot !== undefined)
      relocations.push({ at: it.address - TEXT_INDEX_BEFORE, kind: "index", symbol: "", addend: slot });
    out.u32le(TEXT_MAGIC).u32le(slot ?? NO_TABLE_INDEX);
    const hasFrame = it.source !== null && it.source.frame !== "entry";
    if (hasFrame) out.u8(...PROLOGUE);
    for (const { site, returnAddress } of it.calls) {
      if (site.kind === "indirect") {
        out.u8(0xff, 0xd0);
        continue;
      }
      const callee = placeOf.get(site.callee);
      const imported = program.kernel.get(site.callee);
      if (imported !== undefined) {
        // As from the end of the word: the instruction ends there.
        const at = returnAddress - 4;
        relocations.push({ at, kind: "call", symbol: imported.symbol, addend: -4 });
        out.u8(0xe8).u32le(0);
        continue;
      }
      if (callee === undefined)
        throw new LinkError(`${it.symbol} calls function ${site.callee}, which does not exist`);
      out.u8(0xe8).u32le((callee.address - returnAddress) >>> 0);
    }
    if (hasFrame) out.u8(0x5d);
    out.u8(0xc3);
  }
  while ((start + out.length) % pageSize !== 0) out.u8(INT3);
  return { bytes: out.finish(), start, functions, placeOf, needsHelper, relocations };
}
