/**
 * The transcripts in docs/debugging.md: each stands behind a comment that says how it is made, and is what
 * the tool prints.
 *
 *     <!-- transcript: crash four            the tool, and the dump that it looks at
 *     $ crash vmlinux vmcore                 a line of the shell's, as it is
 *     bt -a @6...2                           a command; of its output the first 6 lines, "..." and the last 2
 *     -->
 *
 *     bun test/oracle/docs.ts                writes them all anew
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BootDump, bootDump, built } from "../support/boot.ts";
import { stock } from "../support/stock.ts";
import { crash, gdb } from "./debuggers.ts";

export const DOCUMENT = join(import.meta.dirname, "../../docs/debugging.md");
const WIDTH = 130;

/** The machines of the document, by the name that comments call them. */
const MACHINES: Record<string, string> = {
  one: "--seed 1",
  four: "--seed 1 --cpus 4",
  debug: "--seed 1 --debug-kernel",
  module: "--seed 1 --crash module-bug",
  trap: "--seed 1 --crash exception",
};

export interface Transcript {
  tool: string;
  machine: string;
  lines: string[];
  /** The indented text behind the comment. */
  text: string;
}

const FORM = /^<!-- transcript: (\w+) (\w+)\n([\s\S]*?)^-->\n\n((?: {4}.*\n|\n(?= {4}))*)/gm;

/** Those of the document, with what makes them and what they say. */
export function transcripts(document: string): Transcript[] {
  return [...document.matchAll(FORM)].map(([, tool = "", machine = "", lines = "", text = ""]) => ({
    tool,
    machine,
    lines: lines.trimEnd().split("\n"),
    text,
  }));
}

/** Dumps of the machines, made when they are first asked for. */
export class Dumps {
  readonly #made = new Map<string, BootDump>();

  get(machine: string): BootDump {
    const flags = MACHINES[machine];
    if (flags === undefined) throw new Error(`there is no machine ${machine}`);
    const dump = this.#made.get(machine) ?? bootDump(flags.split(" "));
    this.#made.set(machine, dump);
    return dump;
  }

  remove(): void {
    for (const dump of this.#made.values()) dump.remove();
  }
}

/** What drgn's prompt says to each line or block of Python; a block's lines are joined by "; " for a loop. */
function drgn(dump: BootDump, commands: readonly string[]): string[] {
  const mark = "@@@";
  const input = commands.map((it) => `${it.replace(/: /, ":\n  ")}\n${it.includes(": ") ? "\n" : ""}`);
  const { stdout } = stock("drgn", ["-c", dump.vmcore, "-s", dump.json.vmlinux], {
    input: input.map((it) => `${it}print("${mark}")\n`).join(""),
  });
  return stdout.split(`${mark}\n`).map((text) => text.replaceAll(/^(?:(?:>>>|\.\.\.) )+/gm, ""));
}

interface Prompt {
  prompt: string;
  ask(dump: BootDump, commands: readonly string[]): string[];
}

const TOOLS: Record<string, Prompt> = {
  gdb: { prompt: "(gdb) ", ask: gdb },
  drgn: { prompt: ">>> ", ask: drgn },
  crash: {
    prompt: "crash> ",
    ask: (dump, commands) => {
      const { output } = crash(dump, commands);
      return commands.map((command) => output.get(command) ?? "");
    },
  },
};

/** The first and last lines of a text, as `@6...2` asks for. */
function part(text: string, wanted: RegExpExecArray | null): string[] {
  const lines = text.trimEnd().split("\n");
  if (wanted === null || text.trim() === "") return text.trim() === "" ? [] : lines;
  const [first, last] = [Number(wanted[1]), Number(wanted[2])];
  if (first + last >= lines.length) return lines;
  return [...lines.slice(0, first), "...", ...(last === 0 ? [] : lines.slice(-last))];
}

/** A command as it is typed: a loop of Python on lines of its own. */
function typed(prompt: string, command: string): string[] {
  if (prompt !== ">>> " || !command.includes(": ")) return [`${prompt}${command}`];
  const at = command.indexOf(": ");
  return [`${prompt}${command.slice(0, at + 1)}`, `...     ${command.slice(at + 2)}`];
}

/** The text of a transcript, made anew. */
export function make({ tool, machine, lines }: Transcript, dumps: Dumps): string {
  const { prompt, ask } = TOOLS[tool]!;
  const dump = dumps.get(machine);
  const parsed = lines.map((line) => {
    const wanted = / @(\d+)\.\.\.(\d+)$/.exec(line);
    const command = wanted === null ? line : line.slice(0, wanted.index);
    return { wanted, command, said: command.replace("BUILD/", `${built("")}`) };
  });
  const commands = parsed.filter(({ command }) => !command.startsWith("$ "));
  const answers = ask(
    dump,
    commands.map(({ said }) => said),
  );
  const plain = (text: string): string =>
    text
      .replaceAll(dump.json.vmlinux, "vmlinux")
      .replaceAll(dump.vmcore, "vmcore")
      .replaceAll(built(""), "")
      .replaceAll("\t", " ");
  const out = parsed.flatMap(({ wanted, command }) => {
    if (command.startsWith("$ ")) return [command];
    const answer = answers[commands.findIndex((it) => it.command === command)] ?? "";
    return [...typed(prompt, command.replace("BUILD/", "")), ...part(plain(answer), wanted)];
  });
  const cut = (line: string): string => (line.length > WIDTH ? `${line.slice(0, WIDTH - 4)} ...` : line);
  return out.map((line) => (line === "" ? "\n" : `    ${cut(line.trimEnd())}\n`)).join("");
}

/** The document with each transcript made anew. */
export function renewed(document: string, dumps: Dumps): string {
  let at = 0;
  const made = transcripts(document).map((it) => make(it, dumps));
  return document.replaceAll(FORM, (all: string, ...groups: string[]) => {
    const text = groups[3]!;
    return `${all.slice(0, all.length - text.length)}${made[at++]!}`;
  });
}

if (import.meta.main) {
  const dumps = new Dumps();
  try {
    writeFileSync(DOCUMENT, renewed(readFileSync(DOCUMENT, "utf8"), dumps));
  } finally {
    dumps.remove();
  }
}
