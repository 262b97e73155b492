/**
 * What debug information needs: where each function and call of the text came from. Old offsets are
 * positions in asc's module file, the ones its source map speaks of; addresses are offsets from _text.
 */
import type { ArgumentAreas } from "./arguments.ts";
import type { Program } from "./program.ts";
import { decodeSourceMap, type SourcePosition } from "./source-map.ts";
import type { PlacedFunction, Text } from "./text.ts";

export interface CallSiteInfo {
  /** Of the call instruction in asc's module. */
  oldOffset: number;
  /** Of the call instruction in the text, and of the one behind it. */
  address: number;
  returnAddress: number;
  /** null: an indirect call. */
  callee: string | null;
}

export interface FunctionInfo {
  name: string;
  /** asc's name, with the path; null for thunks of imports and what the link step added. */
  internalName: string | null;
  address: number;
  size: number;
  /** First instruction and end in asc's module; -1 when it has no code there. */
  codeStart: number;
  codeEnd: number;
  callSites: CallSiteInfo[];
  /** Types of the wasm function's parameters. */
  params: readonly number[];
  /** Bytes between its record and its caller's, where the parameters are (arguments.ts); mostly 0. */
  argumentArea: number;
}

export interface LineInfo extends SourcePosition {
  address: number;
}

export function functionInfo(text: Text, { module }: Program, areas: ArgumentAreas | null): FunctionInfo[] {
  return text.functions.map(({ symbol, address, size, source, calls }) => ({
    name: symbol,
    internalName: source?.internalName ?? null,
    address,
    size,
    codeStart: source?.code ?? -1,
    codeEnd: source?.end ?? -1,
    params: (source && module.types[source.type]?.params) ?? [],
    argumentArea: (source && areas?.of(source.index)) ?? 0,
    callSites: calls.map(({ site, address, returnAddress }) => ({
      oldOffset: site.start,
      address,
      returnAddress,
      callee: site.kind === "call" ? (text.placeOf.get(site.callee)?.symbol ?? null) : null,
    })),
  }));
}

function linesOf(
  { address, source, calls }: PlacedFunction,
  map: ReturnType<typeof decodeSourceMap>,
): LineInfo[] {
  if (source === null) return [];
  const lines: LineInfo[] = [];
  const add = (at: number, position: SourcePosition | null): void => {
    if (position === null) return;
    const { file, line, column } = position;
    lines.push({ address: at, file, line, column });
  };
  add(address, map.first(source.code, source.end));
  for (const call of calls) {
    if (call.address === address) lines.length = 0;
    add(call.address, map.lookup(call.site.start, source.code));
  }
  return lines;
}

/** Source lines of function entries and calls, in address order. */
export function lineInfo(text: Text, sourceMap: string): LineInfo[] {
  const map = decodeSourceMap(sourceMap);
  return text.functions.flatMap((it) => linesOf(it, map));
}
