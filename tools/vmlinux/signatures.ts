/**
 * Parameters and places of the kernel's functions, read from their AssemblyScript source: what a debugger
 * shows of a function besides its address. The parse is light: a declaration at the start of a line, its
 * parameters up to the closing parenthesis.
 */

export interface Parameter {
  name: string;
  /** As the source spells it. */
  type: string;
}

export interface Signature {
  line: number;
  parameters: Parameter[];
  returns: string;
}

const DECLARATION = /^(?:export )?function (\w+)\s*(?:<[^>(]*>)?\(/gm;

/** Splits at commas outside of brackets. */
function splitParameters(source: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at < source.length; at++) {
    const char = source[at] as string;
    if ("([{<".includes(char)) depth++;
    else if (")]}".includes(char) || (char === ">" && source[at - 1] !== "=")) depth--;
    else if (char === "," && depth === 0) {
      parts.push(source.slice(from, at));
      from = at + 1;
    }
  }
  parts.push(source.slice(from));
  return parts.map((part) => part.trim()).filter((part) => part !== "");
}

function closing(source: string, open: number): number {
  let depth = 0;
  for (let at = open; at < source.length; at++) {
    if (source[at] === "(") depth++;
    else if (source[at] === ")" && --depth === 0) return at;
  }
  return source.length;
}

/** Every function declared in a source file, by name. */
export function readSignatures(source: string): Map<string, Signature> {
  const found = new Map<string, Signature>();
  for (const match of source.matchAll(DECLARATION)) {
    const [head, name = ""] = match;
    const open = match.index + head.length - 1;
    const end = closing(source, open);
    const inside = source.slice(open + 1, end).replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, "");
    const parameters = splitParameters(inside).map((text): Parameter => {
      const [, parameter = text, type = ""] = /^(\w+)\??\s*:\s*([^=]*(?:=>[^=]*)*)/.exec(text) ?? [];
      return { name: parameter, type: type.trim() };
    });
    const returns = /^\)\s*:\s*([\w.]+)/.exec(source.slice(end))?.[1] ?? "void";
    const line = source.slice(0, match.index).split("\n").length;
    if (!found.has(name)) found.set(name, { line, parameters, returns });
  }
  return found;
}
