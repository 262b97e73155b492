/** Small components, written as text, that do one thing: most of them one that they should not. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { componentEmbed, componentNew, parse } from "@bytecodealliance/jco-transpile/wasm-tools";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const WIT = readFileSync(join(ROOT, "kernel-wasm/collector/collector.wit"), "utf8");
export const BUILD = join(ROOT, "build");
export const MAKEDUMPFILE = join(BUILD, "collectors/makedumpfile.wasm");

/** A component whose core module has `body` as its run(args, count), which leaves the result's address. */
export async function component(body: string, more = "", memory = "1"): Promise<Uint8Array> {
  const core = await parse(`(module
    (import "wkdump:collector/dump@0.1.0" "read-physical" (func $read (param i64 i32 i32)))
    (import "wkdump:collector/dump@0.1.0" "read-virtual" (func $read_virtual (param i64 i32 i32)))
    (import "wkdump:collector/dump@0.1.0" "read-pages" (func $read_pages (param i32 i32 i32)))
    (import "wkdump:collector/dump@0.1.0" "page-states" (func $states (param i32 i64 i32 i32)))
    (import "wkdump:collector/output@0.1.0" "write" (func $write (param i64 i32 i32 i32)))
    (import "wkdump:collector/codecs@0.1.0" "compress" (func $compress (param i32 i32 i32 i32 i32)))
    (memory (export "memory") ${memory})
    (global $free (mut i32) (i32.const 4096))
    (data (i32.const 1024) "done")
    ${more}
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    (func $ok (result i32)
      (i32.store (i32.const 16) (i32.const 0))
      (i32.store (i32.const 20) (i32.const 1024))
      (i32.store (i32.const 24) (i32.const 4))
      (i32.const 16))
    ;; The error that an import has left in its result at 256: passed on.
    (func $pass (result i32)
      (i32.store (i32.const 16) (i32.load8_u (i32.const 256)))
      (i32.store (i32.const 20) (i32.load (i32.const 260)))
      (i32.store (i32.const 24) (i32.load (i32.const 264)))
      (i32.const 16))
    (func (export "run") (param i32 i32) (result i32) ${body}))`);
  return wrap(core, WIT, "collector");
}

/** A core module as a component of a world. */
export async function wrap(binary: Uint8Array, witSource: string, world: string): Promise<Uint8Array> {
  return componentNew(await componentEmbed({ binary, witSource, world, stringEncoding: "utf8" }), []);
}

export const wat = parse;
