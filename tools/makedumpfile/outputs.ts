/** The files that makedumpfile writes, or standard output in their place. */
import { O_CREAT, O_EXCL, O_TRUNC, O_WRONLY, type Proc, SyscallError } from "../../runtime/user/proc.ts";
import { DISCARD, FileSink } from "../dump/sink.ts";
import { strerror } from "../strerror.ts";
import { Failure } from "./failure.ts";
import { LimitedSink } from "./limit.ts";
import type { Options } from "./options.ts";

/** What messages call standard output. */
export const STDOUT = "STDOUT";

export class Outputs {
  private readonly created: { path: string; fd: number }[] = [];

  constructor(
    private readonly proc: Proc,
    private readonly options: Options,
  ) {}

  /** Told before the work begins: create() would say it after minutes. */
  async checkAbsent(path: string): Promise<void> {
    if (this.options.force) return;
    try {
      await this.proc.stat(path);
    } catch (error) {
      if (error instanceof SyscallError) return;
      throw error;
    }
    throw new Failure(`check_dump_file: Can't open the dump file (${path}). File exists`);
  }

  /** A new file, for its owner alone: a dump holds what was in memory. Throws Failure. */
  async create(path: string): Promise<LimitedSink> {
    const { limit, dryRun, force } = this.options;
    const { what } = this;
    if (dryRun) return new LimitedSink(path, limit, DISCARD, what);
    const flags = O_WRONLY | O_CREAT | (force ? O_TRUNC : O_EXCL);
    try {
      const fd = await this.proc.open(path, flags, 0o600);
      this.created.push({ path, fd });
      return new LimitedSink(path, limit, new FileSink(this.proc, fd), what);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      throw new Failure(`open_dump_file: Can't open the dump file(${path}). ${strerror(error)}`);
    }
  }

  /** Takes back what was created: there was no room for it. */
  async discard(): Promise<void> {
    for (const { path, fd } of this.created.splice(0)) {
      await this.proc.close(fd);
      await this.proc.unlink(path);
    }
  }

  /** Standard output, for bytes in their order. */
  stream(): (bytes: Uint8Array) => Promise<void> {
    const { limit, dryRun } = this.options;
    const write = async (_at: number, bytes: Uint8Array) => {
      if (!dryRun) await this.proc.write(1, bytes);
    };
    const sink = new LimitedSink(STDOUT, limit, { write }, this.what);
    let at = 0;
    return async (bytes) => {
      at += bytes.length;
      await sink.write(at - bytes.length, bytes);
    };
  }

  /** What messages call the files. */
  private get what(): string {
    return this.options.mode === "dmesg" ? "log" : "dump";
  }

  async close(): Promise<void> {
    for (const { fd } of this.created) await this.proc.close(fd);
  }
}
