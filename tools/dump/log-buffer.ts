/**
 * The logs of kernels before 5.10, both in the bytes at `log_buf` (a pointer; log_buf_len bytes, a ring).
 *
 * Structured, since 3.5: records of struct printk_log (struct log before 3.11) from log_first_idx to
 * log_next_idx, each a header, text_len bytes of text, a dictionary; `len` is the distance to the next. A
 * header of len 0 says that the next record is at index 0.
 *
 * Characters, before: the last min(log_end, log_buf_len) characters printed, the newest before log_end mod
 * log_buf_len.
 */
import { type AddressSpace, VirtualArray } from "./address-space.ts";
import { ADVICE_DAMAGED, DumpError, hex } from "./error.ts";
import type { KernelLog } from "./kernel-log.ts";
import type { KernelDump } from "./memory-source.ts";

/** log_buf_len is an int: vmcore-dmesg refuses more as well. */
const LENGTH_MAX = 0x7fffffff;
const PIECE = 32 * 1024;

async function openBuffer(dump: KernelDump, space: AddressSpace): Promise<VirtualArray> {
  const info = dump.vmcoreinfo;
  const address = await space.readU64(info.symbol("log_buf"));
  const length = await space.readU32(info.symbol("log_buf_len"));
  if (length === 0 || length > LENGTH_MAX) {
    throw new DumpError(dump.name, `log_buf_len is ${hex(length)}`, ADVICE_DAMAGED);
  }
  return new VirtualArray(space, address, length);
}

/** The log between log_first_idx and log_next_idx. */
export function structuredLog(dump: KernelDump, space: AddressSpace): KernelLog {
  const info = dump.vmcoreinfo;
  const struct = info.has("SIZE(printk_log)") ? "printk_log" : "log";
  const size = info.size(struct);
  const ts = info.offset(`${struct}.ts_nsec`);
  const len = info.offset(`${struct}.len`);
  const textLen = info.offset(`${struct}.text_len`);
  if (Math.max(ts + 8, len + 2, textLen + 2) > size || size > 4096) {
    const what = `SIZE(${struct})=${size} does not fit the offsets of its members`;
    throw new DumpError(`${dump.name}, VMCOREINFO`, what, ADVICE_DAMAGED);
  }
  return {
    format: "printk_log",
    async *records(problem, sinceCleared = false) {
      const buffer = await openBuffer(dump, space);
      const first = sinceCleared && info.has("SYMBOL(clear_idx)") ? "clear_idx" : "log_first_idx";
      let at = await space.readU32(info.symbol(first));
      const end = await space.readU32(info.symbol("log_next_idx"));
      let wrapped = at <= end;
      while (at !== end) {
        if (at + size > buffer.length || (wrapped && at > end)) {
          problem(
            `log_buf: a record should be at ${hex(at)} of ${hex(buffer.length)}, log_next_idx is ${hex(end)}`,
          );
          return;
        }
        const header = await buffer.read(at, size);
        const step = header.getUint16(len, true);
        if (step === 0 && !wrapped) {
          wrapped = true;
          at = 0;
          continue;
        }
        const textLength = header.getUint16(textLen, true);
        if (step < size + textLength || at + step > buffer.length) {
          problem(`log_buf: the record at ${hex(at)} has len ${step} and text_len ${textLength}`);
          return;
        }
        const ts_nsec = header.getBigUint64(ts, true);
        const text = await buffer.read(at + size, textLength);
        yield { ts_nsec, text: new Uint8Array(text.buffer, text.byteOffset, textLength).slice() };
        at += step;
      }
    },
  };
}

/** The characters before log_end. */
export function characterLog(dump: KernelDump, space: AddressSpace): KernelLog {
  const info = dump.vmcoreinfo;
  return {
    format: "characters",
    async *records() {
      const buffer = await openBuffer(dump, space);
      const end = await space.readU32(info.symbol("log_end"));
      let left = Math.min(end, buffer.length);
      while (left > 0) {
        const at = (end - left) % buffer.length;
        const count = Math.min(left, PIECE, buffer.length - at);
        const piece = await buffer.read(at, count);
        yield { ts_nsec: null, text: new Uint8Array(piece.buffer, piece.byteOffset, count).slice() };
        left -= count;
      }
    },
  };
}
