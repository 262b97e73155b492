/**
 * What `boot` and `capture` show while the machine runs: the kernels' console as it comes, and a heading with
 * the time where the machine passes from one phase to the next.
 */
import type { Terminal } from "../../runtime/adapter/terminal.ts";
import type { Phase } from "../../runtime/index.ts";

/** The headings; phases without one pass silently. */
const HEADINGS: Partial<Record<Phase, { name: string; text: string }>> = {
  "power-on": { name: "power-on", text: "the first kernel starts at 1 MiB" },
  loaded: { name: "load", text: "the capture kernel lies in the crash region" },
  panic: { name: "crash", text: "the first kernel is gone, control is in purgatory" },
  "purgatory-done": { name: "purgatory", text: "the digests match, low memory is backed up" },
  "capture-boot": { name: "capture", text: "the capture kernel starts inside the crash region" },
  saved: { name: "saved", text: "the dump has its name" },
};

const BOLD_CYAN = "\x1b[1;36m";
const RESET = "\x1b[0m";
/** Console lines that tell of the crash itself. */
const ALARM = /Kernel panic|Oops|BUG:|digests? do(es)? not match/;
const BOLD_RED = "\x1b[1;31m";
/**
 * Output waits for a heading or this much of it: a system call for each console line would take longer than
 * the boot.
 */
const BUFFER_SIZE = 4096;

export class Story {
  readonly #terminal: Terminal;
  readonly #tty: boolean;
  readonly #color: boolean;
  readonly #now_ms: () => number;
  readonly #start_ms: number;
  readonly #decoder = new TextDecoder();
  #pending = "";
  #buffer = "";

  constructor(terminal: Terminal, now_ms: () => number) {
    this.#terminal = terminal;
    this.#tty = terminal.tty;
    this.#color = terminal.color;
    this.#now_ms = now_ms;
    this.#start_ms = now_ms();
  }

  /** Bytes from the serial console. */
  console(bytes: Uint8Array): void {
    const text = this.#pending + this.#decoder.decode(bytes, { stream: true });
    const end = text.lastIndexOf("\n") + 1;
    this.#pending = text.slice(end);
    if (end === 0) return;
    const lines = text.slice(0, end).replaceAll("\r", "");
    this.#buffer += this.#color ? lines.replace(/^.*$/gm, paintLine) : lines;
    // Somebody watches a terminal; elsewhere nobody misses the first line before the last.
    if (this.#tty || this.#buffer.length > BUFFER_SIZE) this.#flush();
  }

  phase(phase: Phase): void {
    const heading = HEADINGS[phase];
    if (heading === undefined) return;
    const at = `${(this.#now_ms() - this.#start_ms).toFixed(1)} ms`;
    const line = `== ${heading.name.padEnd(9)} ${at.padStart(9)}  ${heading.text}`;
    this.#buffer += this.#color ? `${BOLD_CYAN}${line}${RESET}\n` : `${line}\n`;
    this.#flush();
  }

  /** The machine has ended: what it left unfinished on the console is shown too. */
  end(): void {
    if (this.#pending !== "") this.#buffer += `${this.#pending.replaceAll("\r", "")}\n`;
    this.#pending = "";
    this.#flush();
  }

  #flush(): void {
    if (this.#buffer !== "") this.#terminal.out(this.#buffer);
    this.#buffer = "";
  }
}

function paintLine(line: string): string {
  return ALARM.test(line) ? `${BOLD_RED}${line}${RESET}` : line;
}
