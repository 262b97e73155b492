/**
 * One pass over each function body: where it calls, returns and uses intrinsics. The text skeleton and the
 * rewriter both work from these sites, so that they agree on what a call is.
 */
import { ByteReader } from "./bytes.ts";
import { LinkError } from "./error.ts";
import { type Instruction, OP, readInstruction } from "./instructions.ts";
import type { WasmModule } from "./module.ts";
import { symbolOf } from "./names.ts";

/** Callee of a call to the function that turns a computed Function object into a text address. */
export const TEXT_ADDRESS_HELPER = -1;

type GlobalSite =
  /** global.get of an imported constant that stands for a C string. */
  | { kind: "string"; text: string }
  /** global.get of an imported constant: a symbol's address, in a loadable module. */
  | { kind: "address"; name: string }
  /** global.get of any other. */
  | { kind: "global"; index: number };

/**
 * A place in a body that the link step looks at; `start` and `end` are file offsets, sites are in file
 * order.
 */
export type Site = { start: number; end: number } & (
  | { kind: "call"; callee: number }
  | { kind: "indirect"; type: number }
  /** `depth`: labels open at the return, so that `br depth` leaves the function. */
  | { kind: "return"; depth: number }
  | { kind: "refFunc"; callee: number }
  /** The `loop` instruction: what branches to its label comes by here. */
  | { kind: "loop" }
  | GlobalSite
  /** `constant`: the argument of text_address, whose i32.const belongs to the site. */
  | { kind: "intrinsic"; name: string; constant: number }
);

/**
 * How a function keeps its frame. framed: pushes a record. leaf: calls nothing and cannot trap on purpose,
 * no record. entry: as assembler entry code has none, it pushes no record, but its calls record return
 * addresses.
 */
export type Frame = "framed" | "leaf" | "entry";

export interface ScannedFunction {
  /** Index in the module as asc wrote it. */
  index: number;
  symbol: string;
  internalName: string;
  type: number;
  /** Body in the file, and where its instructions begin. */
  start: number;
  code: number;
  end: number;
  /** Parameters and locals. */
  localCount: number;
  /** Local declarations: how many groups, and where the first one begins. */
  localGroups: number;
  localsStart: number;
  sites: Site[];
  frame: Frame;
}

export interface ScanOptions {
  module: WasmModule;
  /** Old function index -> intrinsic name, for imports of module "link". */
  intrinsics: Map<number, string>;
  /** Addresses of Function objects, which have no bytes in an image. */
  functionObjects: Map<number, number>;
  /** Index -> name of the globals that stand for addresses; empty but in a loadable module. */
  addresses: ReadonlyMap<number, string>;
  /** Index -> text of the globals that stand for C strings. */
  strings: ReadonlyMap<number, string>;
  backtrace: ReadonlySet<string>;
  entry: ReadonlySet<string>;
  /** Gets what must not be in a body, one sentence each. */
  problems: string[];
}

const FORBIDDEN = new Map<number, string>([
  [OP.memoryGrow, "grows the memory (`new` or memory.grow); take pages from the kernel's allocator"],
  [OP.memoryInit, "uses memory.init; there are no data segments in an image"],
  [OP.dataDrop, "uses data.drop; there are no data segments in an image"],
]);

/** The type index of the call_indirect at an offset of the file. */
function typeOfIndirect({ bytes }: WasmModule, start: number): number {
  return new ByteReader(bytes, start + 1).uleb();
}

function globalSite(index: number, { strings, addresses }: ScanOptions): GlobalSite {
  const text = strings.get(index);
  if (text !== undefined) return { kind: "string", text };
  const name = addresses.get(index);
  return name !== undefined ? { kind: "address", name } : { kind: "global", index };
}

function scanCode(
  reader: ByteReader,
  options: ScanOptions,
  where: string,
): { sites: Site[]; traps: boolean } {
  const sites: Site[] = [];
  let traps = false;
  let depth = 0;
  let previous: Instruction | null = null;
  while (!reader.done) {
    const it = readInstruction(reader);
    const { op, start, end } = it;
    const forbidden = FORBIDDEN.get(op);
    if (forbidden !== undefined) options.problems.push(`${where} ${forbidden}`);
    if (op === OP.loop) sites.push({ kind: "loop", start, end });
    if (op === OP.block || op === OP.loop || op === OP.if) depth++;
    else if (op === OP.end) depth--;
    else if (op === OP.unreachable) traps = true;
    else if (op === OP.return) sites.push({ kind: "return", start, end, depth });
    else if (op === OP.callIndirect)
      sites.push({ kind: "indirect", start, end, type: typeOfIndirect(options.module, start) });
    else if (op === OP.globalGet) sites.push({ start, end, ...globalSite(it.value, options) });
    else if (op === OP.refFunc) sites.push({ kind: "refFunc", start, end, callee: it.value });
    else if (
      op === OP.i32Load &&
      previous?.op === OP.i32Const &&
      options.functionObjects.has(previous.value)
    ) {
      options.problems.push(
        `${where} calls through a Function object; use call_indirect(text_index(fnptr(f)))`,
      );
    } else if (op === OP.call) {
      const name = options.intrinsics.get(it.value);
      if (name === undefined) sites.push({ kind: "call", start, end, callee: it.value });
      else if (name !== "text_address") sites.push({ kind: "intrinsic", start, end, name, constant: 0 });
      else if (previous?.op === OP.i32Const) {
        sites.push({ kind: "intrinsic", start: previous.start, end, name, constant: previous.value });
        if (!options.functionObjects.has(previous.value)) {
          options.problems.push(`${where} takes the text address of ${previous.value}, which is no function`);
        }
      } else sites.push({ kind: "call", start, end, callee: TEXT_ADDRESS_HELPER });
    }
    previous = it;
  }
  if (depth !== -1) throw new LinkError(`${where} has unbalanced blocks`);
  return { sites, traps };
}

/** Scans all functions of the module, in index order. */
export function scanFunctions(options: ScanOptions): ScannedFunction[] {
  const { module } = options;
  return module.code.map(({ start, end }, position): ScannedFunction => {
    const index = module.importedFunctions.length + position;
    const internalName = module.functionNames.get(index) ?? "";
    const symbol = symbolOf(internalName);
    const where = internalName === "" ? `function ${index}` : internalName;
    const type = module.functions[position] as number;
    const signature = module.types[type];
    if (signature === undefined) throw new LinkError(`${where} has no type`);
    const reader = new ByteReader(module.bytes, start, end);
    let localCount = signature.params.length;
    const localGroups = reader.uleb();
    const localsStart = reader.at;
    for (let group = 0; group < localGroups; group++) {
      localCount += reader.uleb();
      reader.u8();
    }
    const code = reader.at;
    const { sites, traps } = scanCode(reader, options, where);
    const calls = sites.some((site) => site.kind === "call" || site.kind === "indirect");
    const listed = options.backtrace.has(symbol);
    const frame: Frame = options.entry.has(symbol) ? "entry" : calls || traps || listed ? "framed" : "leaf";
    if (frame === "framed" && signature.results.length > 1) {
      options.problems.push(`${where} returns ${signature.results.length} values; frame records allow one`);
    }
    return {
      index,
      symbol,
      internalName,
      type,
      start,
      code,
      end,
      localCount,
      localGroups,
      localsStart,
      sites,
      frame,
    };
  });
}
