/**
 * ByteSink: where a writer of dumps puts its bytes, at any offset and in any order: an array in a test, a
 * file of a program, or a flattened stream (flattened-writer.ts).
 */
import type { Proc } from "../../runtime/user/proc.ts";

export interface ByteSink {
  /** All bytes, or the error of what is behind. The sink does not keep `bytes`. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
}

/** Nobody wants the bytes. */
export const DISCARD: ByteSink = { write: async () => {} };

/** A file that grows in memory. What nobody wrote is zero. */
export class MemorySink implements ByteSink {
  private data = new Uint8Array(64 * 1024);
  private length = 0;

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const end = offset + bytes.length;
    if (end > this.data.length) {
      const larger = new Uint8Array(Math.max(end, this.data.length * 2));
      larger.set(this.data);
      this.data = larger;
    }
    this.data.set(bytes, offset);
    this.length = Math.max(this.length, end);
  }

  get bytes(): Uint8Array {
    return this.data.subarray(0, this.length);
  }
}

/** A file opened for writing by a program's own system calls. Throws their SyscallError. */
export class FileSink implements ByteSink {
  private at = -1;

  constructor(
    private readonly proc: Proc,
    private readonly fd: number,
  ) {}

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    if (offset !== this.at) await this.proc.lseek(this.fd, offset, 0);
    await this.proc.write(this.fd, bytes);
    this.at = offset + bytes.length;
  }
}

/** Small writes that follow each other, put together before they go to another sink. */
export class BufferedWriter {
  private readonly buffer: Uint8Array;
  private used = 0;

  /** Writes from `offset` of `sink` on, `size` bytes at a time. */
  constructor(
    private readonly sink: ByteSink,
    private offset: number,
    size: number,
  ) {
    this.buffer = new Uint8Array(size);
  }

  /** Where the next byte goes. */
  get position(): number {
    return this.offset + this.used;
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const count = Math.min(this.buffer.length - this.used, bytes.length - at);
      this.buffer.set(bytes.subarray(at, at + count), this.used);
      this.used += count;
      at += count;
      if (this.used === this.buffer.length) await this.flush();
    }
  }

  async flush(): Promise<void> {
    if (this.used === 0) return;
    await this.sink.write(this.offset, this.buffer.subarray(0, this.used));
    this.offset += this.used;
    this.used = 0;
  }
}
