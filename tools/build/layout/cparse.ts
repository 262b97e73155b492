/**
 * A parser for the C declarations of kernel-wasm/abi: structs, unions, enums, typedefs and variables, with
 * arrays, bit-fields, anonymous members, function pointers and __aligned(). It fills a `Declarations` table.
 */
import {
  BASE_WORDS,
  baseType,
  type CType,
  type EnumDef,
  type Expr,
  LayoutError,
  type MemberDecl,
  type StructDef,
  type VariableDecl,
} from "./ctypes.ts";

export class Declarations {
  structs = new Map<string, StructDef>();
  enums = new Map<string, EnumDef>();
  typedefs = new Map<string, CType>();

  struct(name: string, union: boolean): StructDef {
    let def = this.structs.get(name);
    if (!def) {
      def = { union, name, members: null, align: null, packed: false, where: "" };
      this.structs.set(name, def);
    }
    if (def.union !== union) throw new LayoutError(`${name} is both a struct and a union`);
    return def;
  }
}

interface Token {
  text: string;
  line: number;
}

const QUALIFIERS = new Set([
  "const",
  "volatile",
  "static",
  "extern",
  "register",
  "__user",
  "__rcu",
  "__percpu",
]);

function tokenize(source: string, where: string): Token[] {
  const tokens: Token[] = [];
  // A comment, a line's end, blanks, a token, anything else.
  const blank = String.raw`\/\*[\s\S]*?\*\/|\/\/[^\n]*|(\n)|[ \t\r]+`;
  const operator = String.raw`<<|>>|==|!=|<=|>=|&&|\|\||[-+*/%&|^~!<>=(){}[\];,:?.]`;
  const token = String.raw`[A-Za-z_]\w*|0[xX][\da-fA-F]+[uUlL]*|\d+[uUlL]*|${operator}`;
  const re = new RegExp(`${blank}|(${token})|(.)`, "g");
  let line = 1;
  for (const m of source.matchAll(re)) {
    if (m[1]) line++;
    else if (m[2]) tokens.push({ text: m[2], line });
    else if (m[3]) throw new LayoutError(`${where}:${line}: unexpected character '${m[3]}'`);
    else line += m[0].split("\n").length - 1;
  }
  return tokens;
}

/** Binary operators by precedence, loosest first. */
const LEVELS = [
  ["|"],
  ["^"],
  ["&"],
  ["==", "!="],
  ["<", ">", "<=", ">="],
  ["<<", ">>"],
  ["+", "-"],
  ["*", "/", "%"],
];

class Parser {
  private at = 0;
  private readonly tokens: Token[];

  constructor(
    source: string,
    private readonly where: string,
    private readonly decls: Declarations,
  ) {
    this.tokens = tokenize(source, where);
  }

  get done(): boolean {
    return this.at >= this.tokens.length;
  }

  private fail(message: string): never {
    const token = this.tokens[Math.min(this.at, this.tokens.length - 1)];
    throw new LayoutError(`${this.where}:${token?.line ?? 1}: ${message}, at '${token?.text ?? "end"}'`);
  }

  private peek(ahead = 0): string {
    return this.tokens[this.at + ahead]?.text ?? "";
  }

  private next(): string {
    const token = this.tokens[this.at++];
    if (!token) this.fail("unexpected end");
    return token.text;
  }

  private accept(text: string): boolean {
    if (this.peek() !== text) return false;
    this.at++;
    return true;
  }

  private expect(text: string): void {
    if (!this.accept(text)) this.fail(`expected '${text}'`);
  }

  private name(): string {
    const text = this.next();
    if (!/^[A-Za-z_]/.test(text)) {
      this.at--;
      this.fail("expected a name");
    }
    return text;
  }

  private place(): string {
    return `${this.where}:${this.tokens[this.at]?.line ?? 0}`;
  }

  expression(level = 0): Expr {
    if (level === LEVELS.length) return this.unary();
    let a = this.expression(level + 1);
    while ((LEVELS[level] as string[]).includes(this.peek())) {
      const sign = this.next();
      a = { op: "binary", sign, a, b: this.expression(level + 1) };
    }
    return a;
  }

  private unary(): Expr {
    const text = this.next();
    if (text === "-" || text === "~" || text === "!") return { op: "unary", sign: text, a: this.unary() };
    if (text === "(") {
      const e = this.expression();
      this.expect(")");
      return e;
    }
    if (text === "sizeof") {
      this.expect("(");
      let type = this.specifier();
      while (this.accept("*")) type = { kind: "pointer", to: type };
      this.expect(")");
      return { op: "sizeof", type };
    }
    if (/^\d/.test(text)) return { op: "num", value: parseNumber(text) };
    if (/^[A-Za-z_]/.test(text)) return { op: "name", name: text };
    this.at--;
    return this.fail("expected an expression");
  }

  private qualifiers(): void {
    while (QUALIFIERS.has(this.peek())) this.at++;
  }

  private alignment(): Expr | null {
    if (this.accept("____cacheline_aligned")) return { op: "num", value: 64n };
    if (!this.accept("__aligned")) return null;
    this.expect("(");
    const e = this.expression();
    this.expect(")");
    return e;
  }

  /** The type before the declarators; defines struct, union and enum bodies met on the way. */
  specifier(): CType {
    this.qualifiers();
    const word = this.peek();
    let type: CType;
    if (word === "struct" || word === "union") type = this.structSpecifier(this.next() === "union");
    else if (word === "enum") type = this.enumSpecifier();
    else if (BASE_WORDS.has(word)) {
      const words: string[] = [];
      for (;;) {
        this.qualifiers();
        if (!BASE_WORDS.has(this.peek())) break;
        words.push(this.next());
      }
      type = baseType(words);
    } else type = { kind: "typedef", name: this.name() };
    this.qualifiers();
    return type;
  }

  private structSpecifier(union: boolean): CType {
    const where = this.place();
    const name = /^[A-Za-z_]/.test(this.peek()) ? this.name() : "";
    if (!this.accept("{")) {
      if (!name) this.fail("expected a struct name or body");
      return { kind: "struct", def: this.decls.struct(name, union) };
    }
    const def: StructDef = name
      ? this.decls.struct(name, union)
      : { union, name: "", members: null, align: null, packed: false, where };
    if (def.members) this.fail(`struct ${name} is defined twice (first at ${def.where})`);
    def.where = where;
    const members: MemberDecl[] = [];
    while (!this.accept("}")) members.push(...this.members());
    def.members = members;
    def.packed = this.accept("__packed");
    def.align = this.alignment();
    return { kind: "struct", def };
  }

  private members(): MemberDecl[] {
    const line = this.place();
    const type = this.specifier();
    if (this.accept(";")) return [{ name: "", type, bits: null, align: null, line }];
    const list: MemberDecl[] = [];
    do {
      const d = this.declarator(type);
      const bits = this.accept(":") ? this.expression() : null;
      list.push({ ...d, bits, align: this.alignment(), line });
    } while (this.accept(","));
    this.expect(";");
    return list;
  }

  private enumSpecifier(): CType {
    this.expect("enum");
    const where = this.place();
    const name = /^[A-Za-z_]/.test(this.peek()) ? this.name() : "";
    const key = name || `anonymous at ${where}.${this.at}`;
    let def = this.decls.enums.get(key);
    if (!def) {
      def = { name, values: null, where };
      this.decls.enums.set(key, def);
    }
    if (!this.accept("{")) return { kind: "enum", def };
    if (def.values) this.fail(`enum ${name} is defined twice (first at ${def.where})`);
    def.values = [];
    def.where = where;
    while (!this.accept("}")) {
      const value = this.name();
      def.values.push({ name: value, value: this.accept("=") ? this.expression() : null });
      if (!this.accept(",")) {
        this.expect("}");
        break;
      }
    }
    return { kind: "enum", def };
  }

  private declarator(type: CType): { name: string; type: CType } {
    let outer = type;
    while (this.accept("*")) {
      outer = { kind: "pointer", to: outer };
      this.qualifiers();
    }
    if (this.peek() === "(" && (this.peek(1) === "*" || this.peek(1) === "(")) {
      this.expect("(");
      const start = this.at;
      let depth = 1;
      while (depth > 0) {
        const t = this.next();
        if (t === "(") depth++;
        if (t === ")") depth--;
      }
      outer = this.suffixes(outer);
      const end = this.at;
      this.at = start;
      const inner = this.declarator(outer);
      this.expect(")");
      this.at = end;
      return inner;
    }
    const name = /^[A-Za-z_]/.test(this.peek()) ? this.name() : "";
    return { name, type: this.suffixes(outer) };
  }

  private suffixes(type: CType): CType {
    if (this.accept("[")) {
      const count = this.peek() === "]" ? null : this.expression();
      this.expect("]");
      return { kind: "array", of: this.suffixes(type), count };
    }
    if (this.accept("(")) {
      const params: { name: string; type: CType }[] = [];
      if (!this.accept(")")) {
        do {
          params.push(this.declarator(this.specifier()));
        } while (this.accept(","));
        this.expect(")");
      }
      const only = params[0];
      const none = params.length === 1 && only?.type.kind === "base" && only.type.encoding === "void";
      return { kind: "function", returns: type, params: none ? [] : params };
    }
    return type;
  }

  /** Top level: type definitions, and variables when the caller wants them. */
  declarations(variables: VariableDecl[] | null): void {
    while (!this.done) {
      if (this.accept(";")) continue;
      const where = this.place();
      if (this.accept("typedef")) {
        const type = this.specifier();
        do {
          const d = this.declarator(type);
          if (type.kind === "struct" && !type.def.name && type.def.members && d.type === type)
            type.def.name = d.name;
          if (this.decls.typedefs.has(d.name)) this.fail(`typedef ${d.name} is defined twice`);
          this.decls.typedefs.set(d.name, d.type);
        } while (this.accept(","));
        this.expect(";");
        continue;
      }
      const type = this.specifier();
      if (this.accept(";")) continue;
      if (!variables) this.fail("a variable among the types: declare it under a section");
      do {
        const d = this.declarator(type);
        variables.push({ name: d.name, type: d.type, align: this.alignment(), where });
      } while (this.accept(","));
      this.expect(";");
    }
  }
}

export function parseNumber(text: string): bigint {
  const digits = text.replace(/[uUlL]+$/, "");
  return /^0[0-7]+$/.test(digits) ? BigInt(`0o${digits.slice(1)}`) : BigInt(digits);
}

export function parseTypes(source: string, where: string, decls: Declarations): void {
  new Parser(source, where, decls).declarations(null);
}

export function parseVariables(source: string, where: string, decls: Declarations): VariableDecl[] {
  const list: VariableDecl[] = [];
  new Parser(source, where, decls).declarations(list);
  return list;
}

export function parseExpression(source: string, where: string, decls: Declarations): Expr {
  const parser = new Parser(source, where, decls);
  const e = parser.expression();
  if (!parser.done) throw new LayoutError(`${where}: cannot read the expression '${source}'`);
  return e;
}
