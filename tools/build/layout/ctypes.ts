/**
 * The model of C types that the layout description is parsed into. Sizes and offsets follow the x86_64 System
 * V ABI (LP64) and are computed on demand, so declarations may come in any order.
 */

export class LayoutError extends Error {
  override name = "LayoutError";
}

export interface BaseType {
  kind: "base";
  /** C spelling, as DWARF gives it: "long unsigned int". */
  name: string;
  size: number;
  encoding: "signed" | "unsigned" | "char" | "uchar" | "bool" | "void";
}

export interface PointerType {
  kind: "pointer";
  to: CType;
}

export interface ArrayType {
  kind: "array";
  of: CType;
  /** Elements; an expression until it is evaluated, null for a flexible array. */
  count: Expr | null;
}

export interface FunctionType {
  kind: "function";
  returns: CType;
  params: { name: string; type: CType }[];
}

export interface TypedefRef {
  kind: "typedef";
  name: string;
}

export interface StructRef {
  kind: "struct";
  def: StructDef;
}

export interface EnumRef {
  kind: "enum";
  def: EnumDef;
}

export type CType = BaseType | PointerType | ArrayType | FunctionType | TypedefRef | StructRef | EnumRef;

export interface MemberDecl {
  /** "" for an anonymous struct or union. */
  name: string;
  type: CType;
  bits: Expr | null;
  align: Expr | null;
  line: string;
}

export interface StructDef {
  union: boolean;
  name: string;
  members: MemberDecl[] | null;
  align: Expr | null;
  packed: boolean;
  where: string;
}

export interface EnumDef {
  name: string;
  values: { name: string; value: Expr | null }[] | null;
  where: string;
}

export interface VariableDecl {
  name: string;
  type: CType;
  align: Expr | null;
  where: string;
}

export type Expr =
  | { op: "num"; value: bigint }
  | { op: "name"; name: string }
  | { op: "sizeof"; type: CType }
  | { op: "unary"; sign: string; a: Expr }
  | { op: "binary"; sign: string; a: Expr; b: Expr };

const base = (name: string, size: number, encoding: BaseType["encoding"]): BaseType => ({
  kind: "base",
  name,
  size,
  encoding,
});

export const VOID = base("void", 1, "void");

/**
 * Sorted words of a declaration -> base type, so that "unsigned long int" and "long unsigned" are the same.
 */
const BASES: Record<string, BaseType> = {
  char: base("char", 1, "char"),
  "char signed": base("signed char", 1, "char"),
  "char unsigned": base("unsigned char", 1, "uchar"),
  short: base("short int", 2, "signed"),
  "short unsigned": base("short unsigned int", 2, "unsigned"),
  int: base("int", 4, "signed"),
  unsigned: base("unsigned int", 4, "unsigned"),
  long: base("long int", 8, "signed"),
  "long unsigned": base("long unsigned int", 8, "unsigned"),
  "long long": base("long long int", 8, "signed"),
  "long long unsigned": base("long long unsigned int", 8, "unsigned"),
  bool: base("_Bool", 1, "bool"),
  _Bool: base("_Bool", 1, "bool"),
  void: VOID,
};

export const BASE_WORDS = new Set([
  "char",
  "short",
  "int",
  "long",
  "unsigned",
  "signed",
  "bool",
  "_Bool",
  "void",
]);

export function baseType(words: string[]): BaseType {
  let rest = words.filter((w) => w !== "signed" || words.includes("char"));
  if (rest.length === 0) rest = ["int"];
  if (rest.length > 1) rest = rest.filter((w) => w !== "int");
  const found = BASES[rest.sort().join(" ")];
  if (!found) throw new LayoutError(`no such base type: ${words.join(" ")}`);
  return found;
}
