/**
 * The link step: link() makes an image (production kernel, capture kernel or purgatory) of asc's module, of
 * what abi placed. On the way the module gets frame records (rewrite.ts), text addresses and an x86 skeleton
 * (text.ts), C strings their places (strings.ts); it loses its intrinsics and data segments; what cannot be
 * part of an image is refused (program.ts). Nothing here knows our kernel but the names of the sections.
 */
import {
  IMAGE_DIGEST_SIZE,
  IMAGE_HEADER_SIZE,
  IMAGE_STACK_SIZE,
  IMAGE_TYPE_KERNEL,
  IMAGE_TYPE_PURGATORY,
  type ImageHeader,
  imageDigest,
  LINK_ADDRESS,
  PAGE_SIZE,
  writeImageHeader,
} from "../boot/image.ts";
import { ArgumentAreas } from "./arguments.ts";
import { emitModule } from "./emit.ts";
import { LinkError } from "./error.ts";
import { buildKallsyms } from "./kallsyms.ts";
import { fillKsymtab, type KernelSymbols, kernelSymbols } from "./ksymtab.ts";
import { alignUp, type ImagePlan, planImage } from "./layout.ts";
import { type FunctionInfo, functionInfo, type LineInfo, lineInfo } from "./lines.ts";
import { checkProgram, type PollOptions } from "./program.ts";
import {
  dataSymbol,
  isPerCpu,
  kallsymsEntries,
  type LinkedSymbol,
  type PlacedSymbol,
  sectionSymbols,
  sortSymbols,
  systemMap,
  textSymbols,
} from "./symbols.ts";
import { buildText } from "./text.ts";

export { type ElfSection, type ElfSymbol, writeElfObject } from "./elf-object.ts";
export { LinkError } from "./error.ts";
export type { CallSiteInfo, FunctionInfo, LineInfo } from "./lines.ts";
export {
  type LoadableInput,
  type LoadableOutput,
  type LoadableParameter,
  linkLoadable,
  R_X86_64_64,
} from "./loadable.ts";
export { symbolOf } from "./names.ts";
export { EXPORT_SYMBOL, type PollOptions } from "./program.ts";
export { DIRECT_MAP, STACK_GUARD, STACK_SIZE } from "./rewrite.ts";
export { STRING_MODULE } from "./strings.ts";
export type { LinkedSymbol, PlacedSymbol } from "./symbols.ts";
export { NO_TABLE_INDEX, TEXT_INDEX_BEFORE, TEXT_MAGIC, TEXT_MAGIC_BEFORE } from "./text.ts";

export interface LinkInput {
  type: "kernel" | "purgatory";
  /** asc's output, with a name section. */
  wasm: Uint8Array;
  /** asc's source map (JSON) of that output. */
  sourceMap?: string;
  /** Bytes for .rodata: symbols NAME and NAME_end, 16-byte aligned. */
  blobs: Readonly<Record<string, Uint8Array>>;
  /** Initialised bytes from __base. */
  data: Uint8Array;
  /** Bytes from __base to _end, a multiple of the page size. */
  dataEnd: number;
  symbols: readonly PlacedSymbol[];
  /** Functions that keep a record of their own, and frameless entry code; all must be in the module. */
  backtrace: readonly string[];
  entry: readonly string[];
  /** Count fuel down on the way, and call a handler when it is used up. */
  poll?: PollOptions;
  /** Symbols of the layout that loadable modules may use; functions are exported by the module itself. */
  exportedData?: readonly string[];
  /** Whether functions store their arguments where debuggers find them. */
  argumentsInMemory?: boolean;
  /** Whether the kernel has no use for the module's bytes once it runs: its boot stack lies there. */
  reuseModule?: boolean;
  /** Whether .rodata has the kallsyms tables; without them kallsyms_num_syms is 0. */
  kallsyms: boolean;
  release: string;
  /** Symbol whose offset the header gives as params_offset. */
  paramsSymbol?: string;
}

export interface LinkOutput {
  /** The image file. */
  image: Uint8Array;
  /** The linked module, as it lies in the image. */
  wasm: Uint8Array;
  systemMap: string;
  header: ImageHeader;
  /** Functions and thunks by address; addresses are offsets from _text (its VA is header.linkAddress). */
  functions: FunctionInfo[];
  /** Source lines of function entries and call instructions, by address; empty without a source map. */
  lines: LineInfo[];
  /** All symbols, sorted by value. */
  symbols: LinkedSymbol[];
}

function checkInput({ data, dataEnd, symbols }: LinkInput): void {
  if (dataEnd % PAGE_SIZE !== 0) throw new LinkError(`dataEnd ${dataEnd} is not a multiple of ${PAGE_SIZE}`);
  if (data.length > dataEnd) throw new LinkError(`${data.length} initialised bytes do not fit before _end`);
  const outside = symbols.filter(
    (it) => !isPerCpu(it.section) && (it.offset < 0 || it.offset + it.size > dataEnd),
  );
  if (outside.length > 0)
    throw new LinkError(`symbols outside of the image: ${outside.map((it) => it.name).join(", ")}`);
}

/**
 * Offsets from __base of every symbol that a sym_ intrinsic may name; collects the names it does not find.
 */
function symbolResolver(plan: ImagePlan, placed: readonly PlacedSymbol[]) {
  const offsets = new Map<string, number>();
  for (const { name, offset, section } of placed) if (!isPerCpu(section)) offsets.set(name, offset);
  for (const [name, offset] of plan.symbols) offsets.set(name, offset - plan.dataOffset);
  const missing = new Set<string>();
  const resolve = (name: string): number => {
    const offset = offsets.get(name);
    if (offset === undefined) missing.add(name);
    return offset ?? 0;
  };
  return { resolve, missing };
}

function linkMadeSymbols(plan: ImagePlan): LinkedSymbol[] {
  const made = (name: string, letter: string, section: string, size = 0): LinkedSymbol => {
    const value = LINK_ADDRESS + BigInt(plan.symbols.get(name) ?? 0);
    return { name, value, size, letter, section, perCpu: false };
  };
  return [
    made("_etext", "T", ".text"),
    made("__wasm_start", "R", ".wasm"),
    made("__wasm_end", "R", ".wasm"),
    made("__start_rodata", "R", ".rodata"),
    ...plan.rodata.flatMap(({ symbol, bytes, end }) => {
      const start = made(symbol, "R", ".rodata", bytes.length);
      return end === undefined ? [start] : [start, made(end, "R", ".rodata")];
    }),
  ];
}

function buildHeader(input: LinkInput, plan: ImagePlan, wasmSize: number): ImageHeader {
  const endOffset = plan.dataOffset + input.dataEnd;
  const reuse = input.reuseModule === true;
  const stackOffset = alignUp(reuse ? plan.wasmOffset : endOffset, IMAGE_STACK_SIZE) + IMAGE_STACK_SIZE;
  if (reuse && stackOffset > plan.wasmOffset + wasmSize)
    throw new LinkError(`a module of ${wasmSize} bytes has no room for the boot stack`);
  let paramsOffset = 0;
  if (input.paramsSymbol !== undefined) {
    const params = input.symbols.find((it) => it.name === input.paramsSymbol);
    if (params === undefined)
      throw new LinkError(`the parameter symbol ${input.paramsSymbol} does not exist`);
    paramsOffset = plan.dataOffset + params.offset;
  }
  return {
    type: input.type === "kernel" ? IMAGE_TYPE_KERNEL : IMAGE_TYPE_PURGATORY,
    fileSize: plan.dataOffset + input.data.length,
    memSize: Math.max(endOffset, stackOffset),
    textOffset: IMAGE_HEADER_SIZE,
    textSize: plan.textSize,
    wasmOffset: plan.wasmOffset,
    wasmSize,
    rodataOffset: plan.rodataOffset,
    rodataSize: plan.dataOffset - plan.rodataOffset,
    dataOffset: plan.dataOffset,
    dataSize: input.data.length,
    endOffset,
    stackOffset,
    linkAddress: LINK_ADDRESS,
    paramsOffset,
    tableSize: 0,
    release: input.release,
    digest: new Uint8Array(IMAGE_DIGEST_SIZE),
  };
}

/** The file's bytes; fills in the header's digest. */
function assemble(
  input: LinkInput,
  plan: ImagePlan,
  header: ImageHeader,
  text: Uint8Array,
  wasm: Uint8Array,
  strings: Uint8Array,
): Uint8Array {
  const image = new Uint8Array(header.fileSize);
  image.set(text, header.textOffset);
  image.set(wasm, header.wasmOffset);
  for (const { offset, bytes } of plan.rodata) image.set(bytes, offset);
  image.set(strings, plan.stringsOffset);
  image.set(input.data, header.dataOffset);
  writeImageHeader(new DataView(image.buffer), 0, header);
  return image;
}

/**
 * Makes an image; `sha256` hashes it for its header. Throws LinkError with everything that is wrong with
 * the module. The same input, the same bytes.
 */
export function link(input: LinkInput, sha256: (bytes: Uint8Array) => Uint8Array): LinkOutput {
  checkInput(input);
  const program = checkProgram(input.wasm, input.backtrace, input.entry, input.poll);
  const text = buildText(program, IMAGE_HEADER_SIZE, PAGE_SIZE);
  const areas = input.argumentsInMemory === true ? new ArgumentAreas(program) : null;
  const emit = (symbolOffset: (name: string) => number) =>
    emitModule({ program, areas, text, linkAddress: LINK_ADDRESS, symbolOffset });

  const section = (name: string, offset: number): LinkedSymbol => {
    return {
      name,
      value: LINK_ADDRESS + BigInt(offset),
      size: 0,
      letter: "T",
      section: ".text",
      perCpu: false,
    };
  };
  const etext = IMAGE_HEADER_SIZE + text.bytes.length;
  const functionSymbols = [
    section("_text", 0),
    section("_stext", IMAGE_HEADER_SIZE),
    ...textSymbols(text, LINK_ADDRESS),
  ];
  const kallsyms = buildKallsyms(
    input.kallsyms ? kallsymsEntries([...functionSymbols, section("_etext", etext)]) : [],
  );
  const names = [...program.exported.map((it) => it.symbol), ...(input.exportedData ?? [])];
  const exports: KernelSymbols = kernelSymbols(names);
  const plan = planImage({
    textSize: text.bytes.length,
    // Where symbols lie depends on the module's size, which does not depend on where symbols lie.
    wasmSize: emit(() => 0).length,
    kallsyms,
    ksymtab: exports,
    blobs: input.blobs,
    stringsSize: program.strings.bytes.length,
  });
  const placed = [...sectionSymbols(input.symbols, input.data.length, input.dataEnd), ...input.symbols];
  const { resolve, missing } = symbolResolver(plan, placed);
  const wasm = emit(resolve);
  if (missing.size > 0) {
    const names = [...missing].map((name) => `sym_${name}`).join(", ");
    throw new LinkError(
      `cannot link: no such symbol for ${names}: neither abi, the blobs nor the link step has it`,
    );
  }
  fillKsymtab(plan, exports, (name) => {
    const index = program.exported.find((it) => it.symbol === name)?.index;
    const place = index === undefined ? undefined : text.placeOf.get(index);
    return place === undefined ? plan.dataOffset + resolve(name) : place.address;
  });
  if (missing.size > 0) throw new LinkError(`no such symbol to export: ${[...missing].join(", ")}`);
  const header = buildHeader(input, plan, wasm.length);
  header.tableSize = program.exported.length > 0 ? program.tableSize : 0;
  const file = () => assemble(input, plan, header, text.bytes, wasm, program.strings.bytes);
  header.digest = imageDigest(file(), sha256);
  const base = LINK_ADDRESS + BigInt(plan.dataOffset);
  const symbols = sortSymbols([
    ...functionSymbols,
    ...linkMadeSymbols(plan),
    ...placed.map((symbol) => dataSymbol(symbol, base)),
  ]);
  return {
    image: file(),
    wasm,
    systemMap: systemMap(symbols),
    header,
    functions: functionInfo(text, program, areas),
    lines: input.sourceMap === undefined ? [] : lineInfo(text, input.sourceMap),
    symbols,
  };
}
