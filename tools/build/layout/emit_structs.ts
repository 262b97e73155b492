/**
 * Prints include/generated/structs.ts: one unmanaged AssemblyScript class a struct, whose accessors turn the
 * 64-bit virtual addresses of memory into the kernel's 32-bit physical ones and back.
 */
import type { CType, StructDef } from "./ctypes.ts";
import type { Field, Layout } from "./layout.ts";

export const HEADER = (what: string) =>
  `// ${what}\n// Generated from kernel-wasm/abi by tools/build/layout: do not edit.\n`;

/** Words that AssemblyScript cannot parse as a member's name: such a member gets a trailing underscore. */
const RESERVED = new Set(
  (
    "break case catch class const continue debugger default delete do else enum export extends false " +
    "finally for function if import in instanceof new null private protected public return static super " +
    "switch this throw true try typeof var void while with yield"
  ).split(" "),
);

/** `struct module` is class module_: the word cannot name a type. */
const typeName = (name: string): string => (name === "module" ? "module_" : name);

/** How code sees a value of a C type. */
export type View =
  | { kind: "scalar"; as: string; bool?: boolean }
  | { kind: "ref"; as: string }
  | { kind: "bytes"; as: "usize" }
  | { kind: "pointer"; as: string };

export class StructEmitter {
  private readonly names = new Map<StructDef, string>();
  private readonly arrays = new Map<string, string>();
  private readonly out: string[] = [];

  constructor(private readonly layout: Layout) {}

  className(def: StructDef, fallback: string): string {
    let name = this.names.get(def);
    if (!name) {
      const own = def.name || fallback;
      name = typeName(own);
      this.names.set(def, name);
      // Named ones of the table are printed by emit(), all others where they are first seen.
      if (this.layout.decls.structs.get(own) !== def) this.emitClass(def, name);
    }
    return name;
  }

  view(type: CType, fallback: string): View {
    const t = this.layout.resolve(type);
    switch (t.kind) {
      case "base":
        if (t.encoding === "bool") return { kind: "scalar", as: "bool", bool: true };
        return {
          kind: "scalar",
          as: `${t.encoding === "signed" || t.name === "signed char" ? "i" : "u"}${t.size * 8}`,
        };
      case "enum":
        return { kind: "scalar", as: "i32" };
      case "struct":
        return { kind: "ref", as: this.className(t.def, fallback) };
      case "pointer": {
        const to = this.layout.resolve(t.to);
        if (to.kind === "function") return { kind: "scalar", as: "u64" };
        if (to.kind === "struct" && to.def.name)
          return { kind: "pointer", as: this.className(to.def, fallback) };
        return { kind: "pointer", as: "usize" };
      }
      case "array": {
        const of = this.layout.resolve(t.of);
        if (of.kind === "base" && of.size === 1 && of.encoding !== "bool")
          return { kind: "bytes", as: "usize" };
        return { kind: "ref", as: this.arrayClass(t.of, fallback) };
      }
      default:
        throw new Error(`no value of a function type (${fallback})`);
    }
  }

  private arrayClass(of: CType, fallback: string): string {
    const v = this.view(of, `${fallback}_elem`);
    const size = this.layout.size(of);
    const suffix = v.kind === "pointer" ? "_ptr" : v.kind === "scalar" ? "" : `_${size}`;
    const name = `${v.kind === "bytes" ? "bytes" : v.as}${suffix}_array`;
    if (this.arrays.has(name)) return name;
    const at = `changetype<usize>(this) + i * ${size}`;
    const lines = [`@unmanaged export class ${name} {`];
    if (v.kind === "scalar" || v.kind === "pointer") {
      const [get, set] = loadStore(v, at, "0");
      lines.push(`  @inline @operator("[]") private __get(i: usize): ${v.as} { return ${get}; }`);
      lines.push(`  @inline @operator("[]=") private __set(i: usize, v: ${v.as}): void { ${set}; }`);
      if (v.kind === "pointer") {
        lines.push(`  @inline va(i: usize): u64 { return load<u64>(${at}); }`);
        lines.push(`  @inline set_va(i: usize, v: u64): void { store<u64>(${at}, v); }`);
      }
    } else {
      lines.push(
        `  @inline @operator("[]") private __get(i: usize): ${v.as} { return changetype<${v.as}>(${at}); }`,
      );
    }
    lines.push("}");
    this.arrays.set(name, lines.join("\n"));
    return name;
  }

  private emitClass(def: StructDef, name: string): void {
    const size = def.members ? this.layout.structLayout(def).size : 0;
    const lines = [`@unmanaged export class ${name} {`];
    if (def.members) {
      lines.push(`  @inline static get SIZE(): usize { return ${size}; }`);
      for (const f of this.layout.flatFields(def)) if (f.name) lines.push(...this.fieldLines(name, f));
    }
    lines.push("}");
    this.out.push(lines.join("\n"));
  }

  private fieldLines(cls: string, f: Field): string[] {
    const v = this.view(f.type, `${cls}_${f.name}`);
    if (f.bit) return bitField(f, v.as);
    const lines = memberLines("", f.name, v, "changetype<usize>(this)", f.offset).map(
      (l) => `  ${l} // ${f.offset}`,
    );
    const param = v.kind === "ref" ? v.as : "usize";
    lines.push(
      `  @inline static from_${f.name}(m: ${param}): ${cls} ` +
        `{ return changetype<${cls}>(changetype<usize>(m) - ${f.offset}); }`,
      `  @inline static addr_of_${f.name}(t: ${cls}): usize { return changetype<usize>(t) + ${f.offset}; }`,
    );
    return lines;
  }

  /** Names and prints every struct; array classes follow as symbols need them. */
  emit(): void {
    for (const def of this.layout.decls.structs.values()) this.className(def, def.name);
    for (const def of this.layout.decls.structs.values()) this.emitClass(def, typeName(def.name));
    for (const [name, type] of this.layout.decls.typedefs) {
      const t = this.layout.resolve(type);
      if (t.kind === "struct" && t.def.name !== name)
        this.out.push(`export type ${name} = ${this.className(t.def, name)};`);
      else if (t.kind === "struct") this.className(t.def, name);
    }
  }

  print(): string {
    return [HEADER("Accessors of the kernel's structs."), ...this.out, ...this.arrays.values(), ""].join(
      "\n",
    );
  }
}

function loadStore(v: View, base: string, offset: number | string): [string, string] {
  if (v.kind === "pointer") {
    const got = `pa(load<u64>(${base}, ${offset}))`;
    return [
      v.as === "usize" ? got : `changetype<${v.as}>(${got})`,
      `store<u64>(${base}, va(changetype<usize>(v)), ${offset})`,
    ];
  }
  if (v.kind === "scalar" && v.bool) {
    return [`load<u8>(${base}, ${offset}) != 0`, `store<u8>(${base}, v ? 1 : 0, ${offset})`];
  }
  return [`load<${v.as}>(${base}, ${offset})`, `store<${v.as}>(${base}, v, ${offset})`];
}

/** Getter and setter lines of one member or symbol at `base + offset`. */
export function memberLines(
  modifier: string,
  member: string,
  v: View,
  base: string,
  offset: number,
): string[] {
  const name = RESERVED.has(member) ? `${member}_` : member;
  const head = `@inline ${modifier}`;
  if (v.kind === "ref")
    return [`${head}get ${name}(): ${v.as} { return changetype<${v.as}>(${base} + ${offset}); }`];
  if (v.kind === "bytes") return [`${head}get ${name}(): usize { return ${base} + ${offset}; }`];
  const [get, set] = loadStore(v, base, offset);
  const lines = [
    `${head}get ${name}(): ${v.as} { return ${get}; }`,
    `${head}set ${name}(v: ${v.as}) { ${set}; }`,
  ];
  if (v.kind === "pointer") {
    lines.push(
      `${head}get ${name}_va(): u64 { return load<u64>(${base}, ${offset}); }`,
      `${head}set ${name}_va(v: u64) { store<u64>(${base}, v, ${offset}); }`,
    );
  }
  return lines;
}

function bitField(f: Field, as: string): string[] {
  const { shift, width, unit } = f.bit as { shift: number; width: number; unit: number };
  const word = `u${unit * 8}`;
  const mask = (1n << BigInt(width)) - 1n;
  const at = "changetype<usize>(this)";
  const got = `((load<${word}>(${at}, ${f.offset}) >> ${shift}) & ${mask})`;
  const value = as === "bool" ? `${got} != 0` : `<${as}>${got}`;
  const rest = `load<${word}>(${at}, ${f.offset}) & ~(<${word}>${mask} << ${shift})`;
  const put = `(${rest}) | ((<${word}>v & ${mask}) << ${shift})`;
  return [
    `  // ${f.offset}, bits ${shift}..${shift + width - 1}`,
    `  @inline get ${f.name}(): ${as} { return ${value}; }`,
    `  @inline set ${f.name}(v: ${as}) { store<${word}>(${at}, ${put}, ${f.offset}); }`,
  ];
}
