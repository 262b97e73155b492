/**
 * A dump with the log of an older kernel: its records, as printk_log or as characters, in the place of the
 * ring buffer's text, and VMCOREINFO's lines of that time in place of the ring buffer's.
 */
import { AddressSpace, START_KERNEL_MAP } from "../dump/address-space.ts";
import type { ElfCore } from "../dump/elf.ts";
import { kernelLog } from "../dump/kernel-log.ts";
import { elfPlaces, type KernelPlace, kernelPlaces } from "./places.ts";
import { viewOf } from "./victim.ts";

export type LogForm = "printk_log" | "characters";

/** struct printk_log: ts_nsec, len, text_len, dict_len, facility. */
const RECORD = { size: 16, ts: 0, len: 8, textLen: 10 } as const;
const LOG_LENGTH = 16 * 1024;
/** The log's variables lie behind the log: log_buf, log_buf_len, log_first_idx, log_next_idx or log_end. */
const VARIABLES = 32;

/** Null when the dump has no ring buffer that is large enough. */
export async function olderLog(
  whole: Uint8Array,
  dump: ElfCore,
  form: LogForm,
): Promise<{ bytes: Uint8Array; places: KernelPlace[] } | null> {
  const ring = (await kernelPlaces(dump)).find(({ kind }) => kind === "text");
  if (ring === undefined || ring.size < LOG_LENGTH + VARIABLES) return null;
  const end = ring.physical + ring.size;
  const load = dump.loads.find(({ physical, fileSize }) => {
    return physical !== null && physical <= ring.physical && end <= physical + fileSize;
  });
  if (load === undefined) return null;
  const bytes = whole.slice();
  const view = viewOf(bytes);
  const at = (physical: number): number => load.offset + physical - (load.physical ?? 0);
  const { physBase } = new AddressSpace(dump);
  const virtual = (physical: number): bigint => START_KERNEL_MAP + BigInt(physical) - physBase;
  const texts: Uint8Array[] = [];
  for await (const { text } of kernelLog(dump).records(() => {})) texts.push(text);

  const put = form === "printk_log" ? putRecords : putText;
  const variables = ring.physical + LOG_LENGTH;
  view.setBigUint64(at(variables), virtual(ring.physical), true);
  view.setUint32(at(variables) + 8, LOG_LENGTH, true);
  view.setUint32(at(variables) + 12, 0, true);
  view.setUint32(at(variables) + 16, put(bytes, at(ring.physical), texts), true);
  const names = form === "printk_log" ? ["log_first_idx", "log_next_idx"] : ["logged_chars", "log_end"];
  const symbols = ["log_buf", "", "log_buf_len", names[0], names[1]].map((name, n) => {
    return name === "" ? "" : `SYMBOL(${name})=${virtual(variables + n * 4).toString(16)}`;
  });
  const struct = `SIZE(printk_log)=${RECORD.size}
OFFSET(printk_log.ts_nsec)=${RECORD.ts}
OFFSET(printk_log.len)=${RECORD.len}
OFFSET(printk_log.text_len)=${RECORD.textLen}`;
  const note = elfPlaces(bytes).find(({ kind }) => kind === "vmcoreinfo")!;
  const kept = dump.vmcoreinfo.text.split("\n").filter((line) => line !== "" && !/\bprb|printk/.test(line));
  const lines = [...kept, ...symbols.filter((line) => line !== ""), struct].join("\n");
  const text = new TextEncoder().encode(lines.padEnd(note.size, "\n"));
  bytes.set(text.subarray(0, note.size), note.offset);
  const places: KernelPlace[] = [
    { kind: "infos", physical: ring.physical, size: LOG_LENGTH },
    { kind: "ringbuffer", physical: variables, size: VARIABLES },
  ];
  return { bytes, places };
}

/** Records from index 0 on; the index behind the last. */
function putRecords(bytes: Uint8Array, base: number, texts: readonly Uint8Array[]): number {
  const view = viewOf(bytes);
  bytes.fill(0, base, base + LOG_LENGTH);
  let at = 0;
  for (const [n, text] of texts.entries()) {
    const length = Math.ceil((RECORD.size + text.length) / 8) * 8;
    if (at + length + RECORD.size > LOG_LENGTH) break;
    view.setBigUint64(base + at + RECORD.ts, BigInt(n) * 1_000_000n, true);
    view.setUint16(base + at + RECORD.len, length, true);
    view.setUint16(base + at + RECORD.textLen, text.length, true);
    bytes.set(text, base + at + RECORD.size);
    at += length;
  }
  return at;
}

/** A ring that has come around: the characters printed. */
function putText(bytes: Uint8Array, base: number, texts: readonly Uint8Array[]): number {
  let at = 0;
  for (const text of texts) {
    for (const byte of [...text, 0x0a]) bytes[base + (at++ % LOG_LENGTH)] = byte;
  }
  return at;
}
