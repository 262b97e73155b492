/**
 * What a dump may take: -L's limit, and the room on the disk. A file that reaches it is left as far as it
 * came; its header then says that it is incomplete.
 */
import { SyscallError } from "../../runtime/user/proc.ts";
import { DUMP_ELF_INCOMPLETE, ELF32, ELF64 } from "../dump/elf-header.ts";
import { DUMP_DH_COMPRESSED_INCOMPLETE, KDUMP64 } from "../dump/kdump-header.ts";
import type { ByteSink } from "../dump/sink.ts";
import { strerror } from "../strerror.ts";

/** There is no room for the rest of a file; the message is the original's line. */
export class NoSpace extends Error {
  override name = "NoSpace";
}

/** NoSpace for the error of a full disk; any other error as it is. */
export function noSpaceOf(error: unknown, path: string, what = "dump"): unknown {
  if (!(error instanceof SyscallError) || error.code !== "ENOSPC") return error;
  return new NoSpace(`Can't write the ${what} file(${path}). ${strerror(error)}`);
}

/** A file of at most `limit` bytes. */
export class LimitedSink implements ByteSink {
  constructor(
    /** The file's name. */
    readonly path: string,
    private readonly limit: number | null,
    private readonly sink: ByteSink,
    /** "dump" or "log", for messages. */
    private readonly what = "dump",
  ) {}

  /** What fits is written. Throws NoSpace when that is not all. */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const room = this.limit === null ? bytes.length : Math.max(0, this.limit - offset);
    try {
      if (room > 0) await this.sink.write(offset, room < bytes.length ? bytes.subarray(0, room) : bytes);
    } catch (error) {
      throw noSpaceOf(error, this.path, this.what);
    }
    if (room >= bytes.length) return;
    throw new NoSpace(`Can't write the ${this.what} file(${this.path}). Size limit(${this.limit}) reached.`);
  }

  /**
   * Sets the flag in the header that was written: `elf` is EI_CLASS of an ELF core, `status` what the header
   * of a compressed dump has. False when there was no room for even the header.
   */
  async markIncomplete(elf: 1 | 2 | null, status: number): Promise<boolean> {
    const flag = new Uint8Array(4);
    const view = new DataView(flag.buffer);
    const layout = elf === null ? null : elf === 1 ? ELF32 : ELF64;
    const [at] = layout?.flags ?? KDUMP64.header.status;
    const end = layout?.ehdrSize ?? KDUMP64.headerSize;
    view.setUint32(0, layout === null ? status | DUMP_DH_COMPRESSED_INCOMPLETE : DUMP_ELF_INCOMPLETE, true);
    if (this.limit !== null && this.limit < end) return false;
    await this.sink.write(at, flag);
    return true;
  }
}
