/** FlattenedWriter: a sink that makes a flattened dump (flattened.ts draws it) of what is written to it. */
import {
  FLAT_END,
  FLAT_HEADER_SIZE,
  FLAT_RECORD_SIZE,
  FLAT_SIGNATURE,
  FLAT_TYPE,
  FLAT_VERSION,
} from "./flattened.ts";
import type { ByteSink } from "./sink.ts";

export class FlattenedWriter implements ByteSink {
  private started = false;

  /** `append` takes the stream's bytes in their order, and does not keep them. */
  constructor(private readonly append: (bytes: Uint8Array) => Promise<void>) {}

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    await this.start();
    await this.append(numbers(FLAT_RECORD_SIZE, 0, BigInt(offset), BigInt(bytes.length)));
    await this.append(bytes);
  }

  /** The record that ends the stream. */
  async end(): Promise<void> {
    await this.start();
    await this.append(numbers(FLAT_RECORD_SIZE, 0, FLAT_END, FLAT_END));
  }

  private async start(): Promise<void> {
    if (this.started) return;
    this.started = true;
    const header = numbers(FLAT_HEADER_SIZE, 16, FLAT_TYPE, FLAT_VERSION);
    for (let at = 0; at < FLAT_SIGNATURE.length; at++) header[at] = FLAT_SIGNATURE.charCodeAt(at);
    await this.append(header);
  }
}

/** Two numbers, big endian, at `at` of `size` bytes. */
function numbers(size: number, at: number, first: bigint, second: bigint): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setBigInt64(at, first, false);
  view.setBigInt64(at + 8, second, false);
  return bytes;
}
