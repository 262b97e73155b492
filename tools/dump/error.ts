/**
 * DumpError: what every reader of this folder throws when a dump cannot be read. It says what is wrong,
 * where, and what to do about it; a command prints its message after its own name and exits with 1.
 */
export class DumpError extends Error {
  /**
   * @param where the file, and the place in it: `vmcore, program header 3`
   * @param what what is wrong there, with the numbers found
   * @param advice what the reader of the message can do
   */
  constructor(
    readonly where: string,
    readonly what: string,
    readonly advice: string,
  ) {
    super(`${where}: ${what}\n${advice}`);
    this.name = "DumpError";
  }
}

/** An address or a size as Linux prints it. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

export const ADVICE_DAMAGED =
  "The file is damaged, or was not copied whole: copy it again, or take another dump.";
export const ADVICE_TRUNCATED =
  "The file ends too early: copy it again, and look whether the disk was full at the crash.";
