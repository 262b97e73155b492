/**
 * Prints include/generated/symbols.ts (`sym`, `percpu`, `this_cpu`), constants.ts, and for the tools
 * offsets.ts.
 */
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
