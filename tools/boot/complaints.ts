/**
 * Why there is no dump, in the machine's own words: the line of its console that tells it, for a reason in
 * one sentence. The console itself has the whole story.
 */

/** What to look for, the cause before what follows from it. */
const COMPLAINTS: readonly RegExp[] = [
  /^crashkernel: .+/,
  /^crashkernel size resulted in zero bytes/,
  /^cannot allocate crashkernel .+/,
  /^crashkernel reservation failed.*/,
  /^kexec_file_load failed: .+/,
  /^Memory for crashkernel is not reserved/,
  /^init: no crashkernel= on the command line.*/,
  /sha256 digests do not match.*/,
  /^kdump: (?:saving vmcore failed|sync vmcore failed).*/,
  /^kdump: \/proc\/vmcore does not exist.*/,
  /^Kernel panic - not syncing: (?!sysrq triggered crash).+/,
];

const TIMESTAMP = /^\[ *\d+\.\d+\] /;
/** The longest line that is looked at. */
const LINE_MAX = 1024;
/** So much of the console is kept before it is looked through: of most runs nobody asks. */
const KEPT_MAX = 1 << 18;

export class Complaints {
  readonly #decoder = new TextDecoder();
  #kept: Uint8Array[] = [];
  #size = 0;
  #line = "";
  #rank = COMPLAINTS.length;
  #text: string | undefined;

  /** Bytes from the serial console, which nobody changes any more. */
  console(bytes: Uint8Array): void {
    this.#kept.push(bytes);
    this.#size += bytes.length;
    if (this.#size > KEPT_MAX) this.#lookThrough();
  }

  /** The first line of the gravest kind. */
  get text(): string | undefined {
    this.#lookThrough();
    return this.#text;
  }

  #lookThrough(): void {
    const text = this.#kept.map((bytes) => this.#decoder.decode(bytes, { stream: true })).join("");
    const lines = (this.#line + text).split("\n");
    this.#line = lines.pop()!.slice(0, LINE_MAX);
    this.#kept = [];
    this.#size = 0;
    for (const line of lines) this.#look(line.replace(TIMESTAMP, "").trim());
  }

  #look(line: string): void {
    const rank = COMPLAINTS.findIndex((pattern) => pattern.test(line));
    if (rank < 0 || rank >= this.#rank) return;
    this.#rank = rank;
    this.#text = COMPLAINTS[rank]!.exec(line)![0];
  }
}
