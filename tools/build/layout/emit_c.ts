/**
 * Prints the layout as a C header and as a list of what gcc should find in it: the test compiles the one and
 * compares every size and offset with the other.
 */
import { type CType, LayoutError, type StructDef } from "./ctypes.ts";
import type { Layout } from "./layout.ts";

export function emitC(layout: Layout): string {
  const printed = new Set<StructDef>();
  const out = ["#include <stddef.h>", "typedef _Bool bool;"];
  for (const def of layout.decls.structs.values()) out.push(`${def.union ? "union" : "struct"} ${def.name};`);
  for (const e of layout.decls.enums.values()) {
    const values = e.values?.map((v) => `${v.name} = ${layout.constant(v.name)}`).join(", ");
    if (values) out.push(`enum ${e.name} { ${values} };`);
  }
  const typedefs = new Set<string>();
  const typedef = (name: string): void => {
    if (typedefs.has(name) || name === "bool") return;
    typedefs.add(name);
    const type = layout.decls.typedefs.get(name);
    if (!type) throw new LayoutError(`unknown type ${name}`);
    need(type, true);
    const anonymous = type.kind === "struct" && !layout.decls.structs.has(type.def.name);
    out.push(`typedef ${anonymous ? body(type.def) : declare(type, name)}${anonymous ? ` ${name}` : ""};`);
  };
  /** Prints first what a declaration needs complete. */
  const need = (type: CType, byValue: boolean): void => {
    if (type.kind === "typedef") typedef(type.name);
    else if (type.kind === "array") need(type.of, byValue);
    else if (type.kind === "pointer") need(type.to, false);
    else if (type.kind === "function")
      for (const t of [type.returns, ...type.params.map((p) => p.type)]) need(t, false);
    else if (type.kind === "struct" && byValue && layout.decls.structs.has(type.def.name)) struct(type.def);
    else if (type.kind === "struct" && type.def.members && !layout.decls.structs.has(type.def.name)) {
      for (const m of type.def.members) need(m.type, true);
    }
  };
  const struct = (def: StructDef): void => {
    if (printed.has(def) || !def.members) return;
    printed.add(def);
    for (const m of def.members) need(m.type, true);
    out.push(`${body(def)};`);
  };
  const body = (def: StructDef): string => {
    const named = layout.decls.structs.has(def.name) && layout.decls.structs.get(def.name) === def;
    const members = (def.members ?? []).map((m) => {
      const align = m.align ? ` __attribute__((aligned(${layout.evaluate(m.align)})))` : "";
      const bits = m.bits ? `:${layout.evaluate(m.bits)}` : "";
      return `  ${declare(m.type, m.name)}${bits}${align};`;
    });
    const align = def.align ? ` __attribute__((aligned(${layout.evaluate(def.align)})))` : "";
    const packed = def.packed ? " __attribute__((packed))" : "";
    const tag = `${def.union ? "union" : "struct"} ${named ? def.name : ""}`;
    return `${tag} {\n${members.join("\n")}\n}${packed}${align}`;
  };
  const declare = (type: CType, name: string): string => {
    switch (type.kind) {
      case "base":
        return `${type.name} ${name}`;
      case "typedef":
        return `${type.name} ${name}`;
      case "enum":
        return `${type.def.name && type.def.values ? `enum ${type.def.name}` : "int"} ${name}`;
      case "struct":
        if (layout.decls.structs.get(type.def.name) === type.def)
          return `${type.def.union ? "union" : "struct"} ${type.def.name} ${name}`;
        return `${body(type.def)} ${name}`;
      case "pointer":
        return declare(
          type.to,
          type.to.kind === "array" || type.to.kind === "function" ? `(*${name})` : `*${name}`,
        );
      case "array":
        return declare(type.of, `${name}[${type.count === null ? "" : layout.count(type.count)}]`);
      case "function":
        return declare(
          type.returns,
          `${name}(${type.params.map((p) => declare(p.type, p.name)).join(", ") || "void"})`,
        );
    }
  };
  for (const name of layout.decls.typedefs.keys()) typedef(name);
  for (const def of layout.decls.structs.values()) struct(def);
  return `${out.join("\n")}\n`;
}

export interface Expectation {
  /** A C constant expression and the value the layout gives it. */
  expression: string;
  value: number;
}

/** sizeof of every struct and offsetof of every member that C can take the offset of. */
export function expectations(layout: Layout): Expectation[] {
  const list: Expectation[] = [];
  for (const def of layout.decls.structs.values()) {
    if (!def.members) continue;
    const name = `${def.union ? "union" : "struct"} ${def.name}`;
    list.push({ expression: `sizeof(${name})`, value: layout.structLayout(def).size });
    for (const f of layout.flatFields(def)) {
      if (f.name && !f.bit) list.push({ expression: `offsetof(${name}, ${f.name})`, value: f.offset });
    }
  }
  return list;
}

export interface BitField {
  struct: string;
  member: string;
  /** First bit from the struct's start, and width. */
  at: number;
  width: number;
}

/** Every named bit-field: C cannot take their offset, so a program must set them and look. */
export function bitFields(layout: Layout): BitField[] {
  return [...layout.decls.structs.values()].flatMap((def) =>
    (def.members ? layout.flatFields(def) : []).flatMap((f) =>
      f.bit && f.name
        ? [
            {
              struct: `${def.union ? "union" : "struct"} ${def.name}`,
              member: f.name,
              at: f.offset * 8 + f.bit.shift,
              width: f.bit.width,
            },
          ]
        : [],
    ),
  );
}
