/**
 * Threads that help to compress and write (build/packer.js, made of thread.ts): each opens dump and output
 * by itself and packs batches of the same chain as the main thread does.
 */

import type { HostThread } from "../../runtime/adapter/host.ts";
import { currentHost } from "../../runtime/adapter/index.ts";
import type { BesideProgram } from "../../runtime/adapter/terminal.ts";
import { SyscallError } from "../../runtime/user/proc.ts";
import { readAsset } from "../assets.ts";
import { type Codec, codecsModule } from "../dump/codecs.ts";
import type { ErasedRange } from "../dump/erased.ts";
import { DumpError } from "../dump/error.ts";
import type { Crew, PackWork } from "../dump/page-writer.ts";

/** Threads when nobody says how many. */
const THREADS_MAX = 4;
/**
 * Bytes of pages that take so long that another thread begins in time to help. Pages that are only copied
 * take none: one thread moves them as fast as memory does.
 */
const WORTH = { zlib: 8 << 20, lzo: 64 << 20, snappy: 64 << 20, zstd: 8 << 20 } as const;

/** What a thread is told to do: one file. */
export interface Task {
  work: PackWork;
  /** The dump's files, and the file to write to, which exists; null: nothing is written. */
  inputs: readonly string[];
  output: string | null;
  /** What is overwritten on the way. */
  erased: readonly ErasedRange[];
  /** The codecs, compiled. */
  module: WebAssembly.Module;
}

/** What it says when it is through with one: null, or why it could not go on. */
export type Reply = null | { kind: "DumpError" | "SyscallError" | "Error"; members: unknown[] };

/** An error as a letter. */
export function toReply(error: unknown): Reply {
  if (error instanceof DumpError) {
    return { kind: "DumpError", members: [error.where, error.what, error.advice] };
  }
  if (error instanceof SyscallError) {
    return { kind: "SyscallError", members: [error.errno, error.code, error.syscall, error.path] };
  }
  return {
    kind: "Error",
    members: [error instanceof Error ? (error.stack ?? error.message) : String(error)],
  };
}

function fromReply({ kind, members }: NonNullable<Reply>): Error {
  if (kind === "DumpError") return new DumpError(...(members as ConstructorParameters<typeof DumpError>));
  if (kind === "SyscallError") {
    return new SyscallError(...(members as ConstructorParameters<typeof SyscallError>));
  }
  return new Error(`a thread of makedumpfile has failed: ${members[0]}`);
}

/** A thread, and who waits for its replies, in order. */
class Hand {
  private readonly waiting: { resolve(): void; reject(error: Error): void }[] = [];
  private dead: Error | null = null;
  private readonly thread: HostThread;

  constructor(program: URL) {
    this.thread = currentHost().startThread(program, {
      onMessage: (message) => {
        const next = this.waiting.shift();
        // The process goes on for its sake as long as it has something to do.
        this.thread.hold(this.waiting.length > 0);
        const reply = message as Reply;
        if (reply === null) next?.resolve();
        else next?.reject(fromReply(reply));
      },
      onError: (error) => this.die(error instanceof Error ? error.message : String(error)),
      onExit: () => this.die("it has ended"),
    });
  }

  give(task: Task): Promise<void> {
    const done = new Promise<void>((resolve, reject) => this.waiting.push({ resolve, reject }));
    if (this.dead === null) {
      this.thread.hold(true);
      this.thread.post(task);
    } else this.waiting.pop()!.reject(this.dead);
    return done;
  }

  end(): void {
    this.waiting.length = 0;
    this.thread.terminate();
  }

  private die(why: string): void {
    this.dead ??= new Error(`a thread of makedumpfile has died: ${why}`);
    for (const { reject } of this.waiting.splice(0)) reject(this.dead);
  }
}

export class PackCrew {
  private readonly hands: Hand[];
  private readonly module = codecsModule();

  /** `count` threads for dumps of `inputs`. Throws CommandError when their program is not there. */
  constructor(
    program: BesideProgram,
    count: number,
    private readonly inputs: readonly string[],
  ) {
    readAsset(program, "packer.js");
    const url = program.assetUrl("packer.js");
    this.hands = Array.from({ length: count }, () => new Hand(url));
  }

  /** The crew for one file, into which `erased` does not go; null: nothing is written. */
  for(output: string | null, erased: readonly ErasedRange[]): Crew {
    return {
      pack: async (work) => {
        const task: Task = { work, inputs: this.inputs, output, erased, module: await this.module };
        await Promise.all(this.hands.map((hand) => hand.give(task)));
      },
      listen: () => currentHost().turn(),
    };
  }

  end(): void {
    for (const hand of this.hands) hand.end();
  }
}

/**
 * Threads beside this one to pack `size` bytes of pages, with which there are `threads`; null: as many as are
 * of use. There are none without their program. Throws CommandError when that is not of this build.
 */
export function hire(
  program: BesideProgram | undefined,
  threads: number | null,
  codec: Codec | null,
  size: number,
  inputs: readonly string[],
): PackCrew | null {
  const worth = codec !== null && size >= WORTH[codec];
  const others = (threads ?? (worth ? Math.min(currentHost().cpus(), THREADS_MAX) : 1)) - 1;
  return program === undefined || others < 1 ? null : new PackCrew(program, others, inputs);
}
