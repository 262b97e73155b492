/** One worker of the workload: a task with files and children, whose steps a seed decides. */
import {
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  type Proc,
  SA_RESTART,
  SA_SIGINFO,
  SIG_BLOCK,
  SIGHUP,
  SIGKILL,
  SIGTERM,
  SIGUSR1,
  SIGUSR2,
  SyscallError,
  type Waited,
} from "../../runtime/user/proc.ts";
import { Random } from "../init/fill.ts";

export const DIRECTORY = "/tmp";
/** Files that a worker keeps at most. */
const FILES_MAX = 12;
const FILE_BYTES_MAX = 20_000;
const PIPE_BYTES_MAX = 4096;
/** Errors of a machine that is full: the work goes on without what it asked for. */
const FULL: readonly string[] = ["ENOMEM", "EAGAIN", "ENOSPC", "EMFILE", "ENFILE", "EFBIG"];
const LONG_MS = 3_600_000;

interface KeptFile {
  path: string;
  fd: number;
  seed: number;
  size: number;
}

export class Worker {
  readonly #proc: Proc;
  readonly #random: Random;
  readonly #index: number;
  readonly #files: KeptFile[] = [];
  #made = 0;
  /** The kernel gave a wrong answer. */
  wrong = false;

  constructor(proc: Proc, index: number, seed: number) {
    this.#proc = proc;
    this.#index = index;
    this.#random = new Random(seed);
  }

  /** Something to do, chosen by the seed. */
  async step(): Promise<void> {
    const steps = [
      () => this.#create(),
      () => this.#create(),
      () => this.#check(),
      () => this.#check(),
      () => this.#remove(),
      () => this.#pipe(),
      () => this.#child(),
      () => this.#victim(),
      () => this.#signals(),
      () => this.#program(),
      () => this.#look(),
      () => this.#proc.schedYield(),
      () => this.#proc.sleep(this.#random.below(3)),
    ];
    try {
      await (steps[this.#random.below(steps.length)] as () => Promise<void>)();
    } catch (error) {
      if (!(error instanceof SyscallError) || !FULL.includes(error.code)) throw error;
    }
  }

  /** What is left of the worker when its work is done: nothing, or a daemon that sleeps or runs. */
  async stay(): Promise<void> {
    const kind = this.#random.below(7);
    if (kind === 0) return;
    try {
      await this.#proc.setsid();
      if (kind === 1) await this.#readForEver();
      else if (kind === 2) await this.#waitForEver();
      else if (kind === 3) for (;;) await this.#proc.schedYield();
      else if (kind === 4) for (;;) await this.#proc.getppid();
      else if (kind === 5) await this.#pauseForEver();
      for (;;) await this.#proc.sleep(LONG_MS);
    } catch (error) {
      if (!(error instanceof SyscallError) || !FULL.includes(error.code)) throw error;
    }
  }

  /** A read that nobody will ever answer: the writing end is the reader's own. */
  async #readForEver(): Promise<void> {
    const [read] = await this.#proc.pipe();
    await this.#proc.read(read, new Uint8Array(1));
  }

  /** A daemon that has handlers, and waits for nothing else. */
  async #pauseForEver(): Promise<void> {
    await this.#proc.sigaction(SIGHUP, { handler: () => undefined, flags: SA_RESTART });
    await this.#proc.sigaction(SIGUSR2, { handler: () => undefined, flags: SA_SIGINFO, mask: [SIGHUP] });
    await this.#proc.sigprocmask(SIG_BLOCK, [SIGUSR2]);
    for (;;) await this.#proc.pause();
  }

  async #waitForEver(): Promise<void> {
    await this.#proc.fork(async (child) => {
      for (;;) await child.sleep(LONG_MS);
    });
    await this.#proc.wait();
  }

  async #create(): Promise<void> {
    if (this.#files.length === FILES_MAX) return this.#remove();
    const path = `${DIRECTORY}/workload-${this.#index}-${this.#made++}`;
    const fd = await this.#proc.open(path, O_RDWR | O_CREAT | O_EXCL, 0o600);
    const file = { path, fd, seed: this.#random.next(), size: 0 };
    this.#files.push(file);
    const bytes = contents(file.seed, this.#random.below(FILE_BYTES_MAX));
    await this.#proc.write(fd, bytes);
    file.size = bytes.length;
  }

  /** Reads a file from the start: it has what was written. */
  async #check(): Promise<void> {
    const file = this.#files[this.#random.below(FILES_MAX)];
    // A file whose writing failed may hold a part.
    if (file === undefined || file.size === 0) return;
    const want = contents(file.seed, file.size);
    const got = new Uint8Array(file.size);
    let at = 0;
    await this.#proc.lseek(file.fd, 0, 0);
    for (let n = -1; n !== 0 && at < got.length; at += n)
      n = await this.#proc.read(file.fd, got.subarray(at));
    if (at !== got.length || got.some((byte, i) => byte !== want[i]))
      await this.#fail(`${file.path} changed`);
  }

  async #remove(): Promise<void> {
    const [file] = this.#files.splice(this.#random.below(FILES_MAX), 1);
    if (file === undefined) return;
    await this.#proc.close(file.fd);
    await this.#proc.unlink(file.path);
  }

  /** Bytes that a child writes and this task reads, either of them first. */
  async #pipe(): Promise<void> {
    const [read, write] = await this.#proc.pipe();
    const want = contents(this.#random.next(), 1 + this.#random.below(PIPE_BYTES_MAX));
    const pause = this.#random.below(2);
    try {
      const pid = await this.#proc.fork(async (child) => {
        await child.sleep(pause);
        await child.write(write, want);
        return 0;
      });
      await this.#proc.close(write);
      const got = new Uint8Array(want.length);
      let at = 0;
      for (let n = -1; n !== 0 && at < got.length; at += n) n = await this.#proc.read(read, got.subarray(at));
      const { status } = await this.#proc.wait(pid);
      // A child that found no memory ends with status 1, and without its bytes.
      if (status === 0 && (at !== got.length || got.some((byte, i) => byte !== want[i]))) {
        await this.#fail("a pipe lost bytes");
      }
    } catch (error) {
      await this.#proc.close(write).catch(() => undefined);
      throw error;
    } finally {
      await this.#proc.close(read);
    }
  }

  async #child(): Promise<void> {
    const code = this.#random.below(100);
    const naps = this.#random.below(3);
    const pid = await this.#proc.fork(async (child) => {
      for (let i = 0; i < naps; i++) await child.schedYield();
      return code;
    });
    const { status } = await this.#proc.wait(pid);
    if (status !== code << 8) await this.#fail(`a child that exits with ${code} had status ${status}`);
  }

  async #victim(): Promise<void> {
    const pid = await this.#proc.fork(async (child) => {
      await child.sleep(LONG_MS);
      return 0;
    });
    if (this.#random.below(2) === 0) await this.#proc.schedYield();
    const signal = this.#random.below(2) === 0 ? SIGTERM : SIGKILL;
    await this.#proc.kill(pid, signal);
    const { status } = await this.#proc.wait(pid);
    // Status 1 << 8: it found no memory for its sleep.
    if (status !== signal && status !== 1 << 8)
      await this.#fail(`a child killed by ${signal} had status ${status}`);
  }

  /** A child that signals its parent so often: while the parent waits for it, or writes to it. */
  async #signals(): Promise<void> {
    const restart = this.#random.below(2) === 0;
    const times = 1 + this.#random.below(3);
    const self = await this.#proc.getpid();
    let turns = 0;
    const handler = async (own: Proc): Promise<void> => {
      turns++;
      await own.getpid();
    };
    await this.#proc.sigaction(SIGUSR1, { handler, flags: restart ? SA_RESTART : 0 });
    try {
      const pid = await this.#proc.fork(async (child) => {
        for (let i = 0; i < times; i++) {
          await child.kill(self, SIGUSR1);
          await child.sleep(1);
        }
        return times;
      });
      const { status } = await this.#waitThrough(pid, restart);
      // Several that wait together are one. Status 1 << 8: it found no memory.
      if (status !== times << 8 && status !== 1 << 8) await this.#fail(`a child had status ${status}`);
      if (turns > times || (turns === 0 && status !== 1 << 8)) {
        await this.#fail(`${turns} of ${times} signals arrived`);
      }
    } finally {
      await this.#proc.ignore(SIGUSR1, false);
    }
  }

  /** A wait that a handler has interrupted is made again; with SA_RESTART the kernel does that. */
  async #waitThrough(pid: number, restart: boolean): Promise<Waited> {
    for (;;) {
      try {
        return await this.#proc.wait(pid);
      } catch (error) {
        if (restart || !(error instanceof SyscallError) || error.code !== "EINTR") throw error;
      }
    }
  }

  /** A program that is there, with an argument that it refuses: short, and through all of execve. */
  async #program(): Promise<void> {
    const nothing = await this.#proc.open("/dev/null", O_RDWR);
    try {
      const dup = [[nothing, 2]] as const;
      const pid = await this.#proc.spawn("/usr/bin/workload", ["workload", "?"], { dup });
      const { status } = await this.#proc.wait(pid);
      // Without memory for its heap it has no way to say so either.
      if (status !== 2 << 8 && status !== 1 << 8) await this.#fail(`a program had status ${status}`);
    } finally {
      await this.#proc.close(nothing);
    }
  }

  async #look(): Promise<void> {
    const paths = ["/proc/meminfo", "/proc/loadavg", "/init", "/proc/cmdline"];
    const fd = await this.#proc.open(paths[this.#random.below(paths.length)] as string, O_RDONLY);
    try {
      await this.#proc.read(fd, new Uint8Array(1 + this.#random.below(500)));
    } finally {
      await this.#proc.close(fd);
    }
  }

  async #fail(what: string): Promise<void> {
    this.wrong = true;
    await this.#proc.write(2, `workload: worker ${this.#index}: ${what}\n`);
  }
}

/** Bytes that can be made again from their seed. */
function contents(seed: number, length: number): Uint8Array {
  const random = new Random(seed);
  const words = new Uint32Array((length + 3) >> 2);
  random.fill(words);
  return new Uint8Array(words.buffer, 0, length);
}
