/**
 * The asc transform. It turns C strings (the tagged template c`text`) into imported constants of module
 * "string", each under its text, since AssemblyScript's own literals are UTF-16 objects in a data segment: the
 * optimiser passes them on but cannot look into them, and the link step gives those that are left their
 * addresses. It puts the layout's constants into expressions as literals, so that they take the type of what
 * they meet, as C's macros do; and it keeps functions that backtraces must show out of the inliner.
 */
import * as assemblyscript from "assemblyscript";
import { Transform } from "assemblyscript/transform";
import { EXPORT_SYMBOL, STRING_MODULE } from "../../runtime/link/index.ts";

/** asc's syntax tree, as far as we look at it; its own types are not exported in a usable form. */
interface Node {
  kind: number;
  range: { start: number; source: { normalizedPath: string; lineAt(at: number): number } };
  literalKind?: number;
  tag?: { text?: string } | null;
  parts?: string[];
  expressions?: unknown[];
  text?: string;
}

interface ImportNode extends Node {
  internalPath: string;
  declarations: { foreignName: { text: string }; name: { text: string } }[] | null;
}

const asc = assemblyscript as unknown as {
  Node: {
    createIdentifierExpression(name: string, range: unknown): Node;
    createIntegerLiteralExpression(value: unknown, range: unknown): Node;
    createParenthesizedExpression(expression: Node, range: unknown): Node;
    createUnaryPrefixExpression(operator: number, operand: Node, range: unknown): Node;
    createStringLiteralExpression(value: string, range: unknown): Node;
    createDecorator(name: Node, args: Node[], range: unknown): { name: { text: string } };
  };
  CommonFlags: { Ambient: number; ModuleImport: number };
  DecoratorFlags: { Inline: number };
  Function: new () => unknown;
  NodeKind: { FunctionDeclaration: number; Literal: number; Identifier: number; Import: number };
  LiteralKind: { Template: number };
  Token: { Minus: number };
};

/** Where asc finds the declarations of a program's strings. */
const STRINGS_FILE = "kernel-wasm/include/generated/strings.ts";

/** The strings of one program: each text is one global constant. */
class StringTable {
  private readonly names = new Map<string, string>();

  /** The identifier that stands for the address. */
  name(text: string, where: string): string {
    const known = this.names.get(text);
    if (known !== undefined) return known;
    if (!/^[\x01-\x7f]*$/.test(text)) throw new Error(`${where}: a C string must be ASCII without NUL`);
    const name = `__string_${this.names.size}`;
    this.names.set(text, name);
    return name;
  }

  declarations(): string {
    const lines = [...this.names].map(
      ([text, name]) =>
        `@global @external("${STRING_MODULE}", ${JSON.stringify(text)}) declare const ${name}: usize;\n`,
    );
    return lines.join("");
  }
}

export interface TransformOptions {
  /** What identifiers imported from generated/constants stand for. */
  constants: ReadonlyMap<string, bigint>;
  /** Functions to keep out of the inliner. */
  keep: readonly string[];
  /** Gets those of them that the program calls at all. */
  kept: Set<string>;
  /** Functions, among other symbols, that loadable modules may call; none in a kernel that has no modules. */
  exports: ReadonlySet<string>;
  /** A loadable module's sources, and the name of its folder: all else is the kernel, and stays there. */
  loadable?: string;
}

/** Makes the transform class that asc instantiates for one compilation. */
export function kernelTransform({
  constants,
  keep,
  kept,
  exports,
  loadable,
}: TransformOptions): new () => Transform {
  return class extends Transform {
    private readonly unresolved: string[] = [];

    override afterParse(parser: AscParser): void {
      const strings = new StringTable();
      for (const source of parser.sources) {
        if (source.isLibrary) continue;
        const outside = loadable !== undefined && !source.internalPath.startsWith(`${loadable}/`);
        if (outside) importExported(source, exports);
        new Rewriter(strings, importedConstants(source.statements, constants)).rewrite(source);
      }
      parser.parseFile(strings.declarations(), STRINGS_FILE, false);
    }

    override afterCompile(module: {
      runPasses(passes: string[]): void;
      addFunctionExport(name: string, external: string): void;
    }): void {
      const { binaryen, program } = this as unknown as {
        binaryen: { setPassArgument(name: string, value: string): void };
        program: { instancesByName: Map<string, unknown> };
      };
      const compiled = new Set(
        [...program.instancesByName.keys()].map((name) => name.slice(name.lastIndexOf("/") + 1)),
      );
      for (const [name, element] of program.instancesByName) {
        // Each file has a start function, which stays empty.
        if (name.includes("/start:")) continue;
        if (!(element instanceof asc.Function)) continue;
        const it = element as unknown as CompiledFunction;
        const inlined = (it.decoratorFlags & asc.DecoratorFlags.Inline) !== 0;
        const imported = it.is(asc.CommonFlags.ModuleImport);
        if (loadable === undefined) {
          const own = exports.has(name.slice(name.lastIndexOf("/") + 1));
          if (own && !inlined) module.addFunctionExport(name, EXPORT_SYMBOL + it.name);
        } else if (!inlined && !imported && !name.startsWith(`${loadable}/`) && !name.startsWith("~lib/")) {
          this.unresolved.push(name);
        }
      }
      if (this.unresolved.length > 0) {
        throw new Error(`${loadable} uses what the kernel does not export: ${this.unresolved.join(", ")}`);
      }
      for (const name of keep) {
        if (compiled.has(name)) kept.add(name);
        binaryen.setPassArgument("no-inline", `*/${name}`);
        module.runPasses(["no-inline"]);
      }
    }
  };
}

interface AscParser {
  sources: ParsedSource[];
  parseFile(text: string, path: string, isEntry: boolean): void;
}

interface ParsedSource extends Node {
  isLibrary: boolean;
  statements: Node[];
  internalPath: string;
}

interface CompiledFunction {
  name: string;
  decoratorFlags: number;
  is(flag: number): boolean;
}

/** In a source of the kernel: exported functions become imports of the module, by their names. */
function importExported(source: ParsedSource, exports: ReadonlySet<string>): void {
  for (const statement of source.statements) {
    if (statement.kind !== asc.NodeKind.FunctionDeclaration) continue;
    const f = statement as FunctionNode;
    const inlined = f.decorators?.some((it) => it.name.text === "inline");
    if (inlined || !exports.has(f.name.text)) continue;
    const text = (value: string) => asc.Node.createStringLiteralExpression(value, f.range);
    const name = asc.Node.createIdentifierExpression("external", f.range);
    const external = asc.Node.createDecorator(name, [text("kernel"), text(f.name.text)], f.range);
    f.decorators = [...(f.decorators ?? []), external];
    f.body = null;
    f.flags |= asc.CommonFlags.Ambient;
  }
}

interface FunctionNode extends Node {
  name: { text: string };
  decorators: { name: { text: string } }[] | null;
  body: unknown;
  flags: number;
}

/** What a file imports from generated/constants, by its local name. */
function importedConstants(statements: Node[], constants: ReadonlyMap<string, bigint>): Map<string, bigint> {
  const found = new Map<string, bigint>();
  for (const statement of statements) {
    if (statement.kind !== asc.NodeKind.Import) continue;
    const { internalPath, declarations } = statement as ImportNode;
    if (!internalPath.endsWith("include/generated/constants")) continue;
    for (const d of declarations ?? []) {
      const value = constants.get(d.foreignName.text);
      if (value !== undefined) found.set(d.name.text, value);
    }
  }
  return found;
}

/** Where an identifier is a name, not a value. */
const NAME_KEYS = new Set([
  "name",
  "property",
  "foreignName",
  "localName",
  "exportedName",
  "parameterName",
  "identifier",
]);

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "range" in value && "kind" in value;
}

/** Visits every node of one source by the nodes' own properties: asc has no visitor. */
class Rewriter {
  private readonly seen = new Set<Node>();

  constructor(
    private readonly strings: StringTable,
    private readonly constants: Map<string, bigint>,
  ) {}

  rewrite(node: Node): Node {
    if (
      node.kind === asc.NodeKind.Literal &&
      node.literalKind === asc.LiteralKind.Template &&
      node.tag?.text === "c"
    ) {
      return this.string(node);
    }
    if (this.seen.has(node) || node.kind === asc.NodeKind.Import) return node;
    this.seen.add(node);
    const properties = node as unknown as Record<string, unknown>;
    for (const key of Object.keys(properties)) {
      if (key === "range") continue;
      const value = properties[key];
      if (isNode(value)) properties[key] = this.child(key, value);
      else if (Array.isArray(value)) {
        value.forEach((item, i) => {
          if (isNode(item)) value[i] = this.child(key, item);
        });
      }
    }
    return node;
  }

  private child(key: string, node: Node): Node {
    if (node.kind === asc.NodeKind.Identifier && !NAME_KEYS.has(key)) {
      const value = this.constants.get(node.text ?? "");
      if (value !== undefined) return literal(value, node.range);
    }
    return this.rewrite(node);
  }

  private string(node: Node): Node {
    const { source, start } = node.range;
    const where = `${source.normalizedPath}:${source.lineAt(start)}`;
    if (node.expressions?.length) throw new Error(`${where}: a C string takes no \${...}`);
    return asc.Node.createIdentifierExpression(this.strings.name(node.parts?.[0] ?? "", where), node.range);
  }
}

function literal(value: bigint, range: Node["range"]): Node {
  const bits = value < 0n ? -value : value;
  const { i64_new } = globalThis as unknown as { i64_new(lo: number, hi: number): unknown };
  const i64 = i64_new(Number(BigInt.asIntN(32, bits)), Number(BigInt.asIntN(32, bits >> 32n)));
  const positive = asc.Node.createIntegerLiteralExpression(i64, range);
  if (value >= 0n) return positive;
  const minus = asc.Node.createUnaryPrefixExpression(asc.Token.Minus, positive, range);
  return asc.Node.createParenthesizedExpression(minus, range);
}
