/**
 * Prints include/generated/vmcoreinfo.ts from the lines of kernel-wasm/abi/vmcoreinfo.ts (which says what
 * they mean): what the layout knows becomes text, what only the running kernel knows a call.
 */
import { Declarations, parseExpression } from "./cparse.ts";
import { LayoutError, type StructDef } from "./ctypes.ts";
import { HEADER } from "./emit_structs.ts";
import type { Field, Layout } from "./layout.ts";

type Item = { text: string } | { call: string };

export function emitVmcoreinfo(layout: Layout, lines: readonly string[]): string {
  const items = lines.map((line) => item(layout, line));
  const body: string[] = [];
  let text = "";
  const flush = (): void => {
    if (text) body.push(`  vmcoreinfo_append(c\`${text.replaceAll("\n", "\\n")}\`, ${text.length});`);
    text = "";
  };
  for (const i of items) {
    if ("text" in i) text += `${i.text}\n`;
    else {
      flush();
      body.push(`  ${i.call};`);
    }
  }
  flush();
  return [
    HEADER("VMCOREINFO, but for OSRELEASE, BUILD-ID and CRASHTIME."),
    `import { vmcoreinfo_append, vmcoreinfo_number, vmcoreinfo_symbol } from "../../kernel/crash_core";`,
    `import { sym } from "./symbols";\n`,
    `export function vmcoreinfo_layout(): void {\n${body.join("\n")}\n}\n`,
  ].join("\n");
}

function item(layout: Layout, line: string): Item {
  const m = /^(?:(SYMBOL|SIZE|OFFSET|LENGTH|NUMBER)\(([\w.]+)\)|(\w+))(?:=(.*))?$/.exec(line);
  if (!m) throw new LayoutError(`vmcoreinfo: cannot read the line '${line}'`);
  const [, kind, name = "", plain, value] = m;
  const evaluate = (text: string): bigint => layout.evaluate(parseExpression(text, line, new Declarations()));
  if (plain) return { text: `${plain}=${evaluate(value ?? plain)}` };
  switch (kind) {
    case "SYMBOL":
      return { call: `vmcoreinfo_symbol(c\`${name}\`, ${symbolAddress(layout, name, value, evaluate)})` };
    case "SIZE":
      return { text: `SIZE(${name})=${structSize(layout, name, line)}` };
    case "OFFSET":
      return { text: `OFFSET(${name})=${member(layout, name, line).offset}` };
    case "LENGTH": {
      const length =
        value && !value.includes(".") ? evaluate(value) : arrayLength(layout, value ?? name, line);
      return { text: `LENGTH(${name})=${length}` };
    }
    default:
      if (value === "*") return { call: `vmcoreinfo_number(c\`${name}\`, <i64>sym.${name})` };
      return { text: `NUMBER(${name})=${evaluate(value ?? name)}` };
  }
}

function symbolAddress(
  layout: Layout,
  name: string,
  value: string | undefined,
  evaluate: (text: string) => bigint,
): string {
  if (value === "*") return `sym.${name}_va`;
  const element = /^(\w+)\[(.+)\]$/.exec(value ?? "");
  if (element) {
    const [, array = "", index = ""] = element;
    const type = layout.symbols.get(array)?.type;
    const size = type?.kind === "array" ? layout.size(type.of) : 0;
    return `va(sym.addr_of_${array}() + ${BigInt(size) * evaluate(index)})`;
  }
  return layout.symbols.has(name) ? `va(sym.addr_of_${name}())` : `va(sym_${name}())`;
}

function structOf(layout: Layout, name: string): StructDef | undefined {
  const def = layout.decls.structs.get(name);
  if (def) return def;
  if (!layout.decls.typedefs.has(name)) return undefined;
  const type = layout.resolve({ kind: "typedef", name });
  return type.kind === "struct" ? type.def : undefined;
}

function structSize(layout: Layout, name: string, line: string): number {
  const def = structOf(layout, name);
  if (!def) throw new LayoutError(`vmcoreinfo: ${line}: no such struct`);
  return layout.structLayout(def).size;
}

function member(layout: Layout, path: string, line: string): Field {
  const [struct = "", name = ""] = path.split(".");
  const def = structOf(layout, struct);
  const field = def && layout.flatFields(def).find((f) => f.name === name);
  if (!field) throw new LayoutError(`vmcoreinfo: ${line}: no such member`);
  return field;
}

function arrayLength(layout: Layout, path: string, line: string): number {
  const type = layout.resolve(member(layout, path, line).type);
  if (type.kind !== "array" || !type.count) throw new LayoutError(`vmcoreinfo: ${line}: not an array`);
  return layout.count(type.count);
}
