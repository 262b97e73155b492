/**
 * The kernel's functions as debugging information: where each begins and ends, in which source line, its
 * parameters by name and type. A parameter has a location in a kernel that stores its arguments; elsewhere
 * wasm keeps it where no dump can see it, and debuggers show it as optimized out.
 */
import type { FunctionInfo } from "../../runtime/link/index.ts";
import { address, Die, expression, flag, long, number, text, type Value } from "./dwarf.ts";
import { type ImagePlace, storedPointer, storedValue, wasmParameters } from "./locations.ts";
import { readSignatures, type Signature } from "./signatures.ts";
import { optional, type TypeTable } from "./types.ts";

const DW_OP_call_frame_cfa = 0x9c;

/** AssemblyScript's own types. Pointers in code are 32-bit physical addresses. */
const SCALARS: Record<string, [string, number, "signed" | "unsigned" | "bool"]> = {
  i8: ["signed char", 1, "signed"],
  u8: ["unsigned char", 1, "unsigned"],
  i16: ["short int", 2, "signed"],
  u16: ["short unsigned int", 2, "unsigned"],
  i32: ["int", 4, "signed"],
  isize: ["int", 4, "signed"],
  u32: ["unsigned int", 4, "unsigned"],
  usize: ["unsigned int", 4, "unsigned"],
  i64: ["long long int", 8, "signed"],
  u64: ["long long unsigned int", 8, "unsigned"],
  bool: ["_Bool", 1, "bool"],
};

/** Source files by the names that asc gives them: a path below the project's top, or `~lib/...`. */
export type ReadSource = (file: string) => string | undefined;

export class Sources {
  private readonly signatures = new Map<string, ReadonlyMap<string, Signature>>();
  private readonly numbers = new Map<string, number>();

  constructor(private readonly read: ReadSource) {}

  /** The line table's files, in the order of their numbers, which count from 1. */
  get files(): string[] {
    return [...this.numbers.keys()];
  }

  number(file: string): number {
    const known = this.numbers.get(file) ?? this.numbers.size + 1;
    this.numbers.set(file, known);
    return known;
  }

  /** Where a function is declared, by asc's name for it: its file's path without `.ts`, then its own. */
  find(internalName: string | null): { file: string; signature: Signature } | undefined {
    const match = /^(.*)\/(\w+)(?:<.*>)?$/.exec(internalName?.replace(/<.*>$/, "") ?? "");
    if (!match) return undefined;
    const [, path = "", name = ""] = match;
    const file = `${path}.ts`;
    const signature = this.signaturesOf(file).get(name);
    return signature && { file, signature };
  }

  private signaturesOf(file: string): ReadonlyMap<string, Signature> {
    const known = this.signatures.get(file);
    if (known) return known;
    const found = readSignatures(this.read(file) ?? "");
    this.signatures.set(file, found);
    return found;
  }
}

function typeOf(name: string, types: TypeTable): Value | undefined {
  if (name === "void") return undefined;
  const scalar = SCALARS[name];
  if (scalar) return optional(types.base(...scalar));
  const struct = types.named(name);
  if (struct) return optional(types.pointer(struct));
  // A function type or a type parameter: a number to wasm.
  return optional(types.base(...(SCALARS.u32 as [string, number, "unsigned"])));
}

export interface FunctionContext {
  sources: Sources;
  types: TypeTable;
  /** Names that more than one function has. */
  shared: ReadonlySet<string>;
  image: ImagePlace;
}

/** `start`: the virtual address of _text. */
export function functionDie(info: FunctionInfo, start: bigint, context: FunctionContext): Die {
  const { sources, types, shared, image } = context;
  const found = sources.find(info.internalName);
  const die = new Die("subprogram", {
    name: text(info.name),
    external: shared.has(info.name) ? undefined : flag,
    decl_file: found && number(sources.number(found.file)),
    decl_line: found && number(found.signature.line),
    prototyped: found && flag,
    type: found && typeOf(found.signature.returns, types),
    low_pc: address(start + BigInt(info.address)),
    high_pc: long(BigInt(info.size)),
    frame_base: expression(DW_OP_call_frame_cfa),
  });
  const parameters = found?.signature.parameters ?? [];
  const locals = info.argumentArea === 0 ? [] : wasmParameters(parameters, info.params);
  parameters.forEach(({ name, type }, i) => {
    const local = locals[i];
    const offset = (local ?? 0) * 8 - info.argumentArea;
    const isPointer = SCALARS[type] === undefined && types.named(type) !== undefined;
    const location = isPointer ? storedPointer(offset, image) : storedValue(offset);
    die.add(
      new Die("formal_parameter", {
        name: text(name),
        type: typeOf(type, types),
        location: local === undefined ? undefined : expression(...location),
      }),
    );
  });
  return die;
}
