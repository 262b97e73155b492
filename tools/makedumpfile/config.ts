/**
 * The file of --config (makedumpfile.conf(5)): which data of the kernel are to be erased.
 *
 *     [vmlinux]                                 or the name of a module
 *     erase SYMBOL[.MEMBER...] [size N[K|M] | size SYMBOL[.MEMBER...] | nullify]
 *     for VAR in ARRAY | STRUCT via MEMBER | LIST_HEAD within STRUCTURE:MEMBER
 *         erase VAR[.MEMBER...] ...
 *     endfor
 *
 * Words are apart by spaces, wherever lines end; # begins a comment. Texts are the original's, and begin as
 * there with the name of its function.
 */

/** What is wrong with the file, in the original's words. */
export class ConfigError extends Error {
  override name = "ConfigError";
}

/** A symbol or variable, and members from there on. */
export interface Path {
  text: string;
  parts: string[];
  line: number;
}

export interface EraseRule {
  path: Path;
  nullify: boolean;
  /** Bytes, or where the number of bytes stands; null: by the type. */
  size: number | Path | null;
}

export interface Loop {
  variable: string;
  line: number;
  list: Path;
  /** The member that leads to the next one. */
  via: Path | null;
  within: { structure: string; member: Path | null } | null;
  rules: EraseRule[];
}

export interface Section {
  module: string;
  commands: (EraseRule | Loop)[];
}

const KEYWORDS = new Set(["erase", "size", "nullify", "for", "in", "within", "endfor"]);
export const VMLINUX = "vmlinux";

interface Word {
  text: string;
  line: number;
}

/** Throws ConfigError. */
export function parseConfig(text: string): Section[] {
  const sections: { module: string; words: Word[] }[] = [{ module: VMLINUX, words: [] }];
  for (const [index, whole] of text.split("\n").entries()) {
    const line = whole.replace(/#.*/, "");
    if (line.startsWith("[")) {
      const end = line.indexOf("]");
      if (end < 0) {
        throw new ConfigError(
          `get_config_token: Config error at ${index + 1}: Invalid module section entry.`,
        );
      }
      sections.push({ module: line.slice(1, end), words: [] });
      continue;
    }
    const words = line.split(/[ \t\r]+/).filter((word) => word !== "");
    sections.at(-1)!.words.push(...words.map((word) => ({ text: word, line: index + 1 })));
  }
  return sections
    .filter(({ words }) => words.length > 0)
    .map(({ module, words }) => ({ module, commands: new Parser(words).commands() }));
}

/** The symbols and structures of the vmlinux that are needed to follow the rules. */
export function namesOf(sections: readonly Section[]): { variables: string[]; types: string[] } {
  // Which modules were loaded.
  const variables = new Set<string>(["modules"]);
  const types = new Set<string>(["module"]);
  const add = (path: Path, but: string) => {
    if (path.parts[0] !== but) variables.add(path.parts[0]!);
  };
  for (const command of sections.flatMap(({ commands }) => commands)) {
    const loop = "list" in command ? command : null;
    const variable = loop?.variable ?? "";
    if (loop !== null) add(loop.list, "");
    if (loop?.within) types.add(loop.within.structure);
    for (const { path, size } of loop?.rules ?? [command as EraseRule]) {
      add(path, variable);
      if (typeof size === "object" && size !== null) add(size, variable);
    }
  }
  return { variables: [...variables], types: [...types] };
}

class Parser {
  private at = 0;

  constructor(private readonly words: readonly Word[]) {}

  commands(): (EraseRule | Loop)[] {
    const commands: (EraseRule | Loop)[] = [];
    while (this.at < this.words.length) {
      if (this.accept("erase")) commands.push(this.erase(null));
      else if (this.accept("for")) commands.push(this.loop());
      else throw this.error("get_config", `Invalid token '${this.words[this.at]!.text}'.`);
    }
    return commands;
  }

  /** The line of the next word; at the end, of the last. */
  private get line(): number {
    return (this.words[this.at] ?? this.words.at(-1)!).line;
  }

  private error(by: string, what: string): ConfigError {
    return new ConfigError(`${by}: Config error at ${this.line}: ${what}`);
  }

  private accept(text: string): boolean {
    if (this.words[this.at]?.text !== text) return false;
    this.at++;
    return true;
  }

  /** The next word, which must not be a keyword. */
  private word(by: string, expected: string): Word {
    const word = this.words[this.at];
    if (word === undefined || KEYWORDS.has(word.text)) throw this.error(by, `expected ${expected}`);
    this.at++;
    return word;
  }

  /** `by` and `what` say who could not read it. */
  private path({ text, line }: Word, by: string, what: string): Path {
    const parts = text.split(".").filter((part) => part !== "");
    if (parts.length === 0) throw new ConfigError(`${by}: Error at line ${line}: Failed to read ${what}`);
    return { text, parts, line };
  }

  private erase(variable: string | null): EraseRule {
    const by = "read_erase_cmd_entry";
    const word = this.word(by, "kernel symbol after 'erase' command.");
    const path = this.path(word, by, "filter symbol");
    if (variable !== null && path.parts[0] !== variable) {
      const what = `unused iteration variable '${variable}'.`;
      throw new ConfigError(`${by}: Config error at ${word.line}: ${what}`);
    }
    if (this.accept("nullify")) return { path, nullify: true, size: null };
    return { path, nullify: false, size: this.accept("size") ? this.size() : null };
  }

  private size(): number | Path {
    const by = "read_size_entry";
    const word = this.word(by, "size symbol after 'size' keyword.");
    // As scanf's %ld%c reads it: what follows the suffix does not count.
    const number = /^([+-]?\d+)(.)?/.exec(word.text);
    if (number === null) return this.path(word, by, "size symbol");
    const [, digits = "", suffix = ""] = number;
    if (Number(digits) < 0) {
      const first = `create_config_entry: Config error at ${word.line}: size value must be positive.`;
      throw new ConfigError(`${first}\n${by}: Error at line ${word.line}: Failed to read size symbol`);
    }
    const unit = { k: 1024, m: 1024 * 1024 }[suffix.toLowerCase()] ?? 1;
    return Number(digits) * unit;
  }

  private loop(): Loop {
    const by = "read_iteration_entry";
    const word = this.word(by, "iteration VAR entry after 'for' keyword.");
    const { parts } = this.path(word, by, "iteration VAR entry.");
    if (parts.length > 1) {
      const first = `create_config_entry: Config error at ${word.line}: Invalid iteration variable entry.`;
      throw new ConfigError(
        `${first}\n${by}: Error at line ${word.line}: Failed to read iteration VAR entry.`,
      );
    }
    if (!this.accept("in")) {
      const found = this.words[this.at];
      const second = this.error(by, "expected token 'in'.");
      if (found === undefined) throw second;
      throw new ConfigError(`${this.error(by, `Invalid token '${found.text}'.`).message}\n${second.message}`);
    }
    const loop: Loop = { variable: parts[0]!, line: word.line, ...this.list(), rules: [] };
    while (!this.accept("endfor")) {
      const found = this.words[this.at];
      if (found === undefined) throw this.error(by, "No matching 'endfor' found.");
      if (!this.accept("erase")) throw this.error(by, `Invalid token '${found.text}'.`);
      loop.rules.push(this.erase(loop.variable));
    }
    return loop;
  }

  private list(): Pick<Loop, "list" | "via" | "within"> {
    const by = "read_list_entry";
    const list = this.path(this.word(by, "list symbol after 'in' keyword."), by, "list symbol");
    if (this.accept("via")) {
      const word = this.word(by, "member name after 'via' keyword.");
      return { list, via: this.path(word, "add_traversal_entry", "'via' member"), within: null };
    }
    if (!this.accept("within")) return { list, via: null, within: null };
    const word = this.word(by, "struct name after 'within' keyword.");
    const [structure = "", ...rest] = word.text.split(":");
    const refuse = (what: string) => new ConfigError(`${by}: Config error at ${word.line}: ${what}`);
    const name = rest.join(":");
    if (rest.length > 0 && name === "") throw refuse("expected list_head member after ':'.");
    if (structure === "") throw refuse("Invalid token found after 'within' keyword.");
    const member = name === "" ? null : this.path({ text: name, line: word.line }, by, "list_head member");
    return { list, via: null, within: { structure, member } };
  }
}
