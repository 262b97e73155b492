/** makedumpfile -R: a flattened stream from standard input, written as the file that it is. */
import type { Proc } from "../../runtime/user/proc.ts";
import { ADVICE_DAMAGED, ADVICE_TRUNCATED, DumpError, hex } from "../dump/error.ts";
import {
  FLAT_END,
  FLAT_HEADER_SIZE,
  FLAT_RECORD_SIZE,
  FLAT_TYPE,
  FLAT_VERSION,
  FlattenedBytes,
} from "../dump/flattened.ts";
import type { ByteSink } from "../dump/sink.ts";

const PIECE = 1024 * 1024;
const NAME = "standard input";

/** Throws DumpError when the stream is none, is damaged, or ends too early. */
export async function rearrange(proc: Proc, sink: ByteSink): Promise<void> {
  const buffer = new Uint8Array(PIECE);
  let at = 0;
  const fill = async (size: number, what: string): Promise<Uint8Array> => {
    for (let done = 0; done < size; ) {
      const count = await proc.read(0, buffer.subarray(done, size));
      if (count === 0) {
        const found = `the stream ends at ${hex(at + done)}, in ${what}`;
        throw new DumpError(NAME, found, ADVICE_TRUNCATED);
      }
      done += count;
    }
    at += size;
    return buffer.subarray(0, size);
  };
  const numbers = (bytes: Uint8Array, from: number): [bigint, bigint] => {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return [view.getBigInt64(from, false), view.getBigInt64(from + 8, false)];
  };
  const header = await fill(FLAT_HEADER_SIZE, "the header");
  const [type, version] = numbers(header, 16);
  if (!FlattenedBytes.matches(header) || type !== FLAT_TYPE || version !== FLAT_VERSION) {
    throw new DumpError(`${NAME}, offset 0x0`, "no flattened dump", "Give what makedumpfile -F wrote.");
  }
  for (;;) {
    const [offset, size] = numbers(await fill(FLAT_RECORD_SIZE, "a record's header"), 0);
    if (offset === FLAT_END && size === FLAT_END) return;
    if (offset < 0n || size < 0n || offset + size > BigInt(Number.MAX_SAFE_INTEGER)) {
      const what = `a record for offset ${offset}, size ${size}: expected numbers from 0 on, or twice -1`;
      throw new DumpError(`${NAME}, offset ${hex(at - FLAT_RECORD_SIZE)}`, what, ADVICE_DAMAGED);
    }
    for (let done = 0; done < Number(size); ) {
      const part = await fill(Math.min(PIECE, Number(size) - done), "a record");
      await sink.write(Number(offset) + done, part);
      done += part.length;
    }
  }
}
