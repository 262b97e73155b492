/**
 * What lies where in an image: planImage() places .rodata before __base and gives every link-made symbol
 * its offset from the image's start.
 *
 *     header | .text .. _etext | .wasm | kallsyms, blobs ... C strings | __base
 */
import { IMAGE_HEADER_SIZE, PAGE_SIZE } from "../boot/image.ts";
import type { KallsymsPart } from "./kallsyms.ts";
import { type KernelSymbols, KSYMTAB, KSYMTAB_END, KSYMTAB_STRINGS } from "./ksymtab.ts";

export interface RodataItem {
  symbol: string;
  bytes: Uint8Array;
  offset: number;
  /** A symbol behind the last byte. */
  end: string | undefined;
}

export interface ImagePlan {
  textSize: number;
  wasmOffset: number;
  rodataOffset: number;
  rodata: RodataItem[];
  stringsOffset: number;
  /** __base. */
  dataOffset: number;
  /** Symbol -> offset from the image's start. */
  symbols: Map<string, number>;
}

const KALLSYMS_ALIGN = 8;
const BLOB_ALIGN = 16;

export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

export interface PlanInput {
  textSize: number;
  wasmSize: number;
  kallsyms: readonly KallsymsPart[];
  ksymtab: KernelSymbols;
  blobs: Readonly<Record<string, Uint8Array>>;
  stringsSize: number;
}

export function planImage(input: PlanInput): ImagePlan {
  const { textSize, wasmSize, kallsyms, ksymtab, blobs, stringsSize } = input;
  const etext = IMAGE_HEADER_SIZE + textSize;
  const wasmOffset = etext;
  const rodataOffset = alignUp(wasmOffset + wasmSize, BLOB_ALIGN);
  const symbols = new Map<string, number>([
    ["_text", 0],
    ["_stext", IMAGE_HEADER_SIZE],
    ["_etext", etext],
    ["__wasm_start", wasmOffset],
    ["__wasm_end", wasmOffset + wasmSize],
    ["__start_rodata", rodataOffset],
  ]);
  let end = rodataOffset;
  const rodata: RodataItem[] = [];
  const place = (symbol: string, bytes: Uint8Array, alignment: number, endSymbol?: string): void => {
    const offset = alignUp(end, alignment);
    end = offset + bytes.length;
    rodata.push({ symbol, bytes, offset, end: endSymbol });
    symbols.set(symbol, offset);
    if (endSymbol !== undefined) symbols.set(endSymbol, end);
  };
  for (const { symbol, bytes } of kallsyms) place(symbol, bytes, KALLSYMS_ALIGN);
  if (ksymtab.names.length > 0) {
    place(KSYMTAB, ksymtab.table, KALLSYMS_ALIGN, KSYMTAB_END);
    place(KSYMTAB_STRINGS, ksymtab.strings, 1);
  }
  for (const [symbol, bytes] of Object.entries(blobs)) {
    place(symbol, bytes, BLOB_ALIGN, `${symbol}_end`);
  }
  const dataOffset = alignUp(end + stringsSize, PAGE_SIZE);
  return {
    textSize,
    wasmOffset,
    rodataOffset,
    rodata,
    stringsOffset: dataOffset - stringsSize,
    dataOffset,
    symbols,
  };
}
