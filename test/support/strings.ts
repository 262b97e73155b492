/** C strings of a program that asc has compiled and no link step has linked: imports of module "string". */
import { STRING_MODULE } from "../../runtime/link/index.ts";

export interface PlacedStrings {
  bytes: Uint8Array;
  /** The imports, for strings whose bytes end at an address. */
  imports(end: number): Record<string, number>;
}

/** Each text once, in the order of the imports. */
export function collectStrings(module: WebAssembly.Module): PlacedStrings {
  const texts = WebAssembly.Module.imports(module)
    .filter((it) => it.module === STRING_MODULE)
    .map((it) => it.name);
  const bytes = new TextEncoder().encode(texts.map((text) => `${text}\0`).join(""));
  return {
    bytes,
    imports(end) {
      let at = end - bytes.length;
      return Object.fromEntries(
        texts.map((text) => {
          const start = at;
          at += text.length + 1;
          return [text, start];
        }),
      );
    },
  };
}
