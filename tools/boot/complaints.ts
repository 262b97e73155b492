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

export class Complaints {
  readonly #decoder = new TextDecoder();
  #line = "";
  #rank = COMPLAINTS.length;
  #text: string | undefined;

  /** Bytes from the serial console. */
  console(bytes: Uint8Array): void {
    const lines = (this.#line + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#line = lines.pop()!.slice(0, LINE_MAX);
    for (const line of lines) this.#look(line.replace(TIMESTAMP, "").trim());
  }

  /** The first line of the gravest kind. */
  get text(): string | undefined {
    return this.#text;
  }

  #look(line: string): void {
    const rank = COMPLAINTS.findIndex((pattern) => pattern.test(line));
    if (rank < 0 || rank >= this.#rank) return;
    this.#rank = rank;
    this.#text = COMPLAINTS[rank]!.exec(line)![0];
  }
}
