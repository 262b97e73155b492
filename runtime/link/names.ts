/**
 * From asc's internal names (`kernel-wasm/mm/slab/kmem_cache#grow`) to symbols that nm, gdb and crash can
 * take. The symbol is what stands behind the path; methods become `class_method`, as C code would name
 * them, and compiler-made variants get a suffix behind a dot, as gcc's clones have.
 */

/** The part behind the last '/' that is not inside type arguments. */
function withoutPath(name: string): string {
  let depth = 0;
  let from = 0;
  for (let at = 0; at < name.length; at++) {
    const char = name[at];
    if (char === "<") depth++;
    else if (char === ">") depth--;
    else if (char === "/" && depth === 0) from = at + 1;
  }
  return name.slice(from);
}

/** `path/panic` -> `panic`, `path/list#get:next` -> `list_get_next`, `path/f@varargs` -> `f.varargs`. */
export function symbolOf(internalName: string): string {
  return withoutPath(internalName)
    .replace(/\./g, "_")
    .replace(/@/g, ".")
    .replace(/~anonymous\|/g, ".anonymous.")
    .replace(/<(.*)>/g, (_, types: string) => `.${types.split("/").at(-1)}`)
    .replace(/^~/, "")
    .replace(/[^A-Za-z0-9_.$]/g, "_")
    .replace(/^(?=[0-9.])/, "_");
}
