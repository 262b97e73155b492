/**
 * Prints include/generated/symbols.ts (`sym`, `percpu`, `this_cpu`), constants.ts, and for the tools
 * offsets.ts.
 */

import type { CType } from "./ctypes.ts";
import { HEADER, memberLines, type StructEmitter, type View } from "./emit_structs.ts";
import type { Constant, Layout, PlacedSymbol } from "./layout.ts";

/** Every class name that the printed lines use, so that they can be imported. */
function used(lines: string[]): string[] {
  const names = new Set<string>();
  for (const line of lines) {
    for (const m of line.matchAll(/(?:changetype<|\): |\(v: )([A-Za-z_]\w*)/g)) names.add(m[1] as string);
  }
  for (const builtin of ["usize", "bool", "void", "u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"])
    names.delete(builtin);
  return [...names].sort();
}

function percpuLines(s: PlacedSymbol, v: View): string[] {
  const at = `per_cpu_base(cpu) + ${s.offset}`;
  if (v.kind === "ref")
    return [`  @inline static ${s.name}(cpu: u32): ${v.as} { return changetype<${v.as}>(${at}); }`];
  if (v.kind === "bytes") return [`  @inline static ${s.name}(cpu: u32): usize { return ${at}; }`];
  const [get, set] = memberLines("", "x", v, "per_cpu_base(cpu)", s.offset).map((l) =>
    l.slice(l.indexOf("{")),
  );
  return [
    `  @inline static ${s.name}(cpu: u32): ${v.as} ${get}`,
    `  @inline static set_${s.name}(cpu: u32, v: ${v.as}): void ${set}`,
  ];
}

/** A type of one layout in another that has the same structs. */
function typeIn(layout: Layout, type: CType): CType {
  if (type.kind === "pointer") return { ...type, to: typeIn(layout, type.to) };
  if (type.kind === "array") return { ...type, of: typeIn(layout, type.of) };
  if (type.kind !== "struct") return type;
  return { ...type, def: layout.decls.structs.get(type.def.name) ?? type.def };
}

/**
 * symbols.ts of a loadable module: `sym` has what the kernel exports, each at an address that the kernel
 * enters when it loads the module; `mod` has the module's own symbols.
 */
export function emitModuleSymbols(kernel: Layout, own: Layout, structs: StructEmitter): string {
  const sym: string[] = [];
  const declarations: string[] = [];
  for (const s of kernel.symbols.values()) {
    if (s.section === "percpu" || !kernel.exports.includes(s.name)) continue;
    const base = `__ksym_${s.name}`;
    declarations.push(`@external("kernel", "${s.name}") declare const ${base}: usize;`);
    sym.push(
      ...memberLines("static ", s.name, structs.view(typeIn(own, s.type), s.name), base, 0).map(
        (l) => `  ${l}`,
      ),
      `  @inline static addr_of_${s.name}(): usize { return ${base}; }`,
    );
  }
  const mod: string[] = [];
  for (const s of own.symbols.values()) {
    const lines = memberLines("static ", s.name, structs.view(s.type, s.name), "__module_data", s.offset);
    mod.push(
      ...lines.map((l) => `  ${l}`),
      `  @inline static addr_of_${s.name}(): usize { return __module_data + ${s.offset}; }`,
    );
  }
  const names = used([...sym, ...mod]);
  return [
    HEADER("What a module sees of the kernel's symbols, `sym.NAME`, and its own, `mod.NAME`."),
    names.length ? `import { ${names.join(", ")} } from "./structs";\n` : "",
    ...declarations,
    // What the kernel's own sources import: nothing of a module's code may come to use them.
    "export const DATA_END: usize = 0;",
    "export const PERCPU_TEMPLATE: usize = 0;",
    "export const PERCPU_SIZE: usize = 0;",
    "export const BSS_START: usize = 0;",
    "@inline export function per_cpu_base(cpu: u32): usize { return unreachable(); }",
    "export class percpu {}",
    "export class this_cpu {}",
    `export class sym {\n${sym.join("\n")}\n}`,
    `export class mod {\n${mod.join("\n")}\n}`,
    "",
  ].join("\n");
}

export function emitSymbols(layout: Layout, structs: StructEmitter): string {
  const sym: string[] = [];
  const percpu: string[] = [];
  const here: string[] = [];
  for (const s of layout.symbols.values()) {
    const v = structs.view(s.type, s.name);
    if (s.section === "percpu") {
      percpu.push(...percpuLines(s, v));
      percpu.push(
        `  @inline static addr_of_${s.name}(cpu: u32): usize { return per_cpu_base(cpu) + ${s.offset}; }`,
      );
      here.push(
        ...memberLines("static ", s.name, v, "per_cpu_base(get_cpu())", s.offset).map((l) => `  ${l}`),
      );
    } else {
      sym.push(...memberLines("static ", s.name, v, "__base", s.offset).map((l) => `  ${l} // ${s.offset}`));
      sym.push(`  @inline static addr_of_${s.name}(): usize { return __base + ${s.offset}; }`);
    }
  }
  const offset = layout.symbols.get("__per_cpu_offset");
  const base = offset
    ? "/** Physical address of a CPU's per-CPU area: the low half of a direct-map address. */\n" +
      "@inline export function per_cpu_base(cpu: u32): usize " +
      `{ return load<u32>(__base + ${offset.offset} + (cpu << 3)); }\n`
    : "";
  const names = used([...sym, ...percpu, ...here]);
  return [
    HEADER("The kernel's symbols: `sym.NAME`, `percpu.NAME(cpu)`, `this_cpu.NAME`."),
    names.length ? `import { ${names.join(", ")} } from "./structs";\n` : "",
    base,
    `/** Bytes from __base to _end, and the per-CPU template. */`,
    `export const DATA_END: usize = ${layout.dataEnd};`,
    `export const PERCPU_TEMPLATE: usize = ${layout.percpu.offset};`,
    `export const PERCPU_SIZE: usize = ${layout.percpu.size};`,
    `export const BSS_START: usize = ${layout.bssStart};`,
    `export class sym {\n${sym.join("\n")}\n}`,
    base ? `export class percpu {\n${percpu.join("\n")}\n}` : "",
    base ? `export class this_cpu {\n${here.join("\n")}\n}` : "",
    "",
  ].join("\n");
}

function constantLine(c: Constant): string {
  const v = c.value;
  if (v >= -0x80000000n && v <= 0x7fffffffn) return `export const ${c.name} = ${v};`;
  if (v >= 0n && v <= 0xffffffffn) return `export const ${c.name}: u32 = 0x${v.toString(16)};`;
  if (v < 0n && v >= -(1n << 63n)) return `export const ${c.name}: i64 = ${v};`;
  return `export const ${c.name}: u64 = 0x${BigInt.asUintN(64, v).toString(16)};`;
}

export function emitConstants(layout: Layout): string {
  const bools = Object.entries(layout.config).filter(([, v]) => typeof v === "boolean");
  const skip = new Set(bools.map(([name]) => name));
  return [
    HEADER("Configuration, defines and enum constants."),
    ...bools.map(([name, v]) => `export const ${name}: bool = ${v};`),
    ...[...layout.constants.values()].filter((c) => !skip.has(c.name)).map(constantLine),
    "",
  ].join("\n");
}

/** TypeScript for runtime and tools: offsets of every named member, and constants that fit a number. */
export function emitOffsets(layout: Layout): string {
  const lines = [HEADER("Struct sizes, member offsets (bytes) and constants, for runtime and tools.")];
  for (const def of layout.decls.structs.values()) {
    if (!def.members) continue;
    const fields = layout.flatFields(def).filter((f) => f.name && !f.bit);
    const members = fields.map((f) => `${f.name}: ${f.offset}`).join(", ");
    lines.push(`export const ${def.name} = { SIZE: ${layout.structLayout(def).size}, ${members} } as const;`);
  }
  const constants = [...layout.constants.values()].filter((c) => Number.isSafeInteger(Number(c.value)));
  lines.push(
    "export const constants = {",
    ...constants.map((c) => `  ${c.name}: ${c.value},`),
    "} as const;",
    "",
  );
  return lines.join("\n");
}
