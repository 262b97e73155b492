/**
 * What lies where in an image: planImage() places .rodata before __base and gives every link-made symbol
 * its offset from the image's start.
 *
 *     header | .text .. _etext | .wasm | kallsyms, blobs ... C strings | __base
 */
import { IMAGE_HEADER_SIZE, PAGE_SIZE } from "../boot/image.ts";
import type { KallsymsPart } from "./kallsyms.ts";

export interface RodataItem {
  symbol: string;
  bytes: Uint8Array;
  offset: number;
  /** Blobs: a symbol NAME_end behind the last byte. */
  hasEnd: boolean;
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
  blobs: Readonly<Record<string, Uint8Array>>;
  stringsSize: number;
}

export function planImage({ textSize, wasmSize, kallsyms, blobs, stringsSize }: PlanInput): ImagePlan {
  const etext = IMAGE_HEADER_SIZE + textSize;
  const wasmOffset = etext;
  const rodataOffset = alignUp(wasmOffset + wasmSize, PAGE_SIZE);
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
  const place = (symbol: string, bytes: Uint8Array, alignment: number, hasEnd: boolean): void => {
    const offset = alignUp(end, alignment);
    end = offset + bytes.length;
    rodata.push({ symbol, bytes, offset, hasEnd });
    symbols.set(symbol, offset);
    if (hasEnd) symbols.set(`${symbol}_end`, end);
  };
  for (const { symbol, bytes } of kallsyms) place(symbol, bytes, KALLSYMS_ALIGN, false);
  for (const [symbol, bytes] of Object.entries(blobs)) place(symbol, bytes, BLOB_ALIGN, true);
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
