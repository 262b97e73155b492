/**
 * jco's transpiler, for a collector's thread: from a component to its core modules and the JavaScript that
 * puts them together. The build makes a bundle of its own of it, build/bindgen.js, that is loaded when a
 * collector runs and at no other time.
 */
import { $init, generate } from "@bytecodealliance/jco-transpile/component";

export interface Transpiled {
  /** An ES module that exports `instantiate(getCoreModule, imports)`. */
  source: string;
  /** Core modules by the names that `source` asks for. */
  modules: Map<string, Uint8Array>;
  /** TypeScript declarations of the interfaces, by name: what types the component has for them. */
  declarations: Map<string, string>;
  /** Interfaces that it imports, with their version; and what it exports. */
  imports: string[];
  exports: string[];
}

/** Throws what the transpiler throws of bytes that are no component. */
export async function transpile(component: Uint8Array): Promise<Transpiled> {
  await $init;
  const { files, imports, exports } = generate(component, {
    name: "component",
    instantiation: { tag: "async" },
    noNodejsCompat: true,
    noTypescript: false,
    base64Cutoff: 0,
    map: [],
  });
  const text = new TextDecoder();
  const modules = new Map<string, Uint8Array>();
  const declarations = new Map<string, string>();
  let source = "";
  for (const [name, bytes] of files) {
    if (name.endsWith(".wasm")) modules.set(name, bytes);
    else if (name.endsWith(".d.ts")) declarations.set(name, text.decode(bytes));
    else source = text.decode(bytes);
  }
  return { source, modules, declarations, imports, exports: exports.map(([name]) => name) };
}
