/**
 * The table of the symbols that loadable modules may use, as Linux's EXPORT_SYMBOL() and
 * CONFIG_HAVE_ARCH_PREL32_RELOCATIONS make it: struct kernel_symbol {value, name, namespace}, each an offset
 * from its own place, sorted by name; the names in __ksymtab_strings.
 */
import { ByteWriter } from "./bytes.ts";
import type { ImagePlan } from "./layout.ts";

export const KSYMTAB = "__start___ksymtab";
export const KSYMTAB_END = "__stop___ksymtab";
export const KSYMTAB_STRINGS = "__ksymtab_strings";
const ENTRY_SIZE = 12;

export interface KernelSymbols {
  /** Sorted, as bytes are. */
  names: string[];
  /** Filled by fillKsymtab(). */
  table: Uint8Array;
  strings: Uint8Array;
  /** Offset in strings, by position in names. */
  nameAt: number[];
}

export function kernelSymbols(symbols: readonly string[]): KernelSymbols {
  const names = [...new Set(symbols)].sort((a, b) => (a < b ? -1 : 1));
  const strings = new ByteWriter();
  const nameAt = names.map((name) => {
    const at = strings.length;
    strings.bytes(new TextEncoder().encode(name)).u8(0);
    return at;
  });
  return { names, table: new Uint8Array(names.length * ENTRY_SIZE), strings: strings.finish(), nameAt };
}

/** `offsetOf` gives a symbol's offset from the image's start. */
export function fillKsymtab(
  plan: ImagePlan,
  symbols: KernelSymbols,
  offsetOf: (name: string) => number,
): void {
  const tableAt = plan.symbols.get(KSYMTAB) ?? 0;
  const stringsAt = plan.symbols.get(KSYMTAB_STRINGS) ?? 0;
  const view = new DataView(symbols.table.buffer);
  symbols.names.forEach((name, position) => {
    const at = position * ENTRY_SIZE;
    view.setInt32(at, offsetOf(name) - (tableAt + at), true);
    view.setInt32(at + 4, stringsAt + (symbols.nameAt[position] as number) - (tableAt + at + 4), true);
  });
}
