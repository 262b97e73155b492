/**
 * The kernel's log in a dump. `kernelLog(dump)` finds which of Linux's three formats the kernel kept
 * (VMCOREINFO tells) and gives its records, oldest first; `dmesgText` writes them as vmcore-dmesg does.
 *
 *     since 5.10   prb: struct printk_ringbuffer             printk-ringbuffer.ts
 *     3.5 to 5.9   log_buf with log_first_idx: records       log-buffer.ts
 *     before       log_buf with log_end: plain characters    log-buffer.ts
 */
import { AddressSpace } from "./address-space.ts";
import { DumpError } from "./error.ts";
import { characterLog, structuredLog } from "./log-buffer.ts";
import type { KernelDump } from "./memory-source.ts";
import { printkRingbuffer } from "./printk-ringbuffer.ts";

export interface LogRecord {
  /**
   * Nanoseconds since boot; null for a piece of a plain character log, whose text has its own line starts.
   */
  ts_nsec: bigint | null;
  /** As the kernel stored it: no line feed at the end, perhaps some inside. */
  text: Uint8Array;
  /** Where the format keeps them (prb). */
  seq?: bigint;
  /** The thread that printed, or 0x80000000 + CPU outside of one. */
  callerId?: number;
}

export interface KernelLog {
  format: "prb" | "printk_log" | "characters";
  /**
   * Reading goes along with iterating; damage that costs records is told through `problem` and passed over.
   * `sinceCleared`: none from before the log was cleared (`dmesg --clear`), where the kernel kept that.
   */
  records(problem: (text: string) => void, sinceCleared?: boolean): AsyncGenerator<LogRecord>;
}

/** Throws DumpError when the dump has no log that VMCOREINFO describes. */
export function kernelLog(dump: KernelDump): KernelLog {
  const info = dump.vmcoreinfo;
  const space = new AddressSpace(dump);
  if (info.has("SYMBOL(prb)")) return printkRingbuffer(dump, space);
  if (info.has("SYMBOL(log_first_idx)")) return structuredLog(dump, space);
  if (info.has("SYMBOL(log_buf)")) return characterLog(dump, space);
  const what = "neither SYMBOL(prb) nor SYMBOL(log_buf) among its lines";
  throw new DumpError(
    `${dump.name}, VMCOREINFO`,
    what,
    "The kernel that crashed kept no log (CONFIG_PRINTK is off).",
  );
}

const ESCAPES = new Map<number, string>();
for (let byte = 0; byte < 256; byte++) {
  // isprint() or isspace() in the C locale; everything else is shown as a number.
  const shown = (byte >= 0x20 && byte <= 0x7e) || (byte >= 0x09 && byte <= 0x0d);
  ESCAPES.set(byte, shown ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`);
}

/**
 * A record as kexec-tools' vmcore-dmesg prints it: "[%5llu.%06llu] ", the text with unprintable bytes as
 * \xNN, a line feed. Line feeds inside a record stay as they are, without a prefix of their own.
 */
export function dmesgText(record: LogRecord): string {
  let text = "";
  if (record.ts_nsec === null) {
    for (const byte of record.text) text += String.fromCharCode(byte);
    return text;
  }
  for (const byte of record.text) text += ESCAPES.get(byte);
  const seconds = record.ts_nsec / 1_000_000_000n;
  const microseconds = (record.ts_nsec % 1_000_000_000n) / 1000n;
  return `[${String(seconds).padStart(5)}.${String(microseconds).padStart(6, "0")}] ${text}\n`;
}
