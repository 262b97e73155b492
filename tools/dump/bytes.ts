/**
 * ByteSource: random access to a file's bytes, whatever the file is: an array in a test, a file of the
 * host, or /proc/vmcore inside the machine. Readers of dump formats stand on this alone.
 *
 * Offsets and sizes are numbers, exact up to 2^53; a format's reader refuses larger ones before it gets here.
 */
import { O_RDONLY, type Proc } from "../../runtime/user/proc.ts";
import { ADVICE_TRUNCATED, DumpError, hex } from "./error.ts";

export interface ByteSource {
  /** The name for messages. */
  readonly name: string;
  /** Bytes in the file. */
  readonly size: number;
  /**
   * Reads at `offset` into `buffer`; returns the bytes read, fewer only at the end or by the source's
   * leave.
   */
  pread(buffer: Uint8Array, offset: number): Promise<number>;
}

/** The bytes of an array. */
export class MemoryBytes implements ByteSource {
  readonly size: number;

  constructor(
    readonly name: string,
    private readonly bytes: Uint8Array,
  ) {
    this.size = bytes.length;
  }

  async pread(buffer: Uint8Array, offset: number): Promise<number> {
    const part = this.bytes.subarray(
      Math.min(offset, this.size),
      Math.min(offset + buffer.length, this.size),
    );
    buffer.set(part);
    return part.length;
  }
}

/** A file opened by a program's own system calls. */
export class FileBytes implements ByteSource {
  private constructor(
    private readonly proc: Proc,
    private readonly fd: number,
    readonly name: string,
    readonly size: number,
  ) {}

  /** Throws the SyscallError of open(2) or fstat(2). */
  static async open(proc: Proc, path: string): Promise<FileBytes> {
    const fd = await proc.open(path, O_RDONLY);
    const { size } = await proc.fstat(fd);
    return new FileBytes(proc, fd, path, size);
  }

  pread(buffer: Uint8Array, offset: number): Promise<number> {
    return this.proc.pread(this.fd, buffer, offset);
  }

  close(): Promise<void> {
    return this.proc.close(this.fd);
  }
}

/**
 * Reads exactly `length` bytes at `offset`. Throws DumpError when the file ends before them; `what` names
 * them in the message. The range is compared with the file's size before memory is taken for it.
 */
export async function readExactly(
  source: ByteSource,
  offset: number,
  length: number,
  what: string,
): Promise<Uint8Array<ArrayBuffer>> {
  checkEnd(source, offset, length, what);
  const bytes = new Uint8Array(length);
  await readInto(source, offset, bytes, what);
  return bytes;
}

/** The same into an array that there is. */
export async function readInto(
  source: ByteSource,
  offset: number,
  into: Uint8Array,
  what: string,
): Promise<void> {
  checkEnd(source, offset, into.length, what);
  for (let done = 0; done < into.length; ) {
    const count = await source.pread(done === 0 ? into : into.subarray(done), offset + done);
    if (count <= 0) {
      const found = `reading ${what} stopped at ${hex(offset + done)}, before the end of the file`;
      throw new DumpError(source.name, found, ADVICE_TRUNCATED);
    }
    done += count;
  }
}

function checkEnd(source: ByteSource, offset: number, length: number, what: string): void {
  if (offset + length <= source.size) return;
  const end = `${hex(offset)}..${hex(offset + length)}`;
  const found = `${what} should lie at ${end}, but the file has ${hex(source.size)} bytes`;
  throw new DumpError(source.name, found, ADVICE_TRUNCATED);
}
