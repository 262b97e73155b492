/**
 * workload: lets the kernel live for a while. `workload OPERATIONS [SEED]` starts workers that do so many
 * system calls' worth of work in all: files made, read back and deleted, pipes, children that exit, are
 * killed or run a program, memory, sleep. Then some of the workers end and some stay behind as daemons,
 * asleep in a pipe, in wait4, in a long nanosleep, or running, with files open: init inherits them. What a
 * worker does is decided by the seed; without one by /dev/urandom, so by the machine's.
 *
 * A call may fail for want of memory, files or tasks; a wrong answer (other bytes than were written, another
 * exit status) is said on standard error, and the exit status is 1.
 */
import { exitCode, O_RDONLY, type Proc, type Program, SyscallError } from "../../runtime/user/proc.ts";
import { Random } from "../init/fill.ts";
import { DIRECTORY, Worker } from "./worker.ts";

const USAGE = "usage: workload OPERATIONS [SEED]\n";
const WORKERS_MIN = 3;
const WORKERS_MAX = 8;
export const OPERATIONS_MAX = 1_000_000;
/** The kernel parameter: how much the machine works before it crashes; words with a dot are for programs. */
export const WORKLOAD_PARAMETER = "wkdump.workload";
const STATUS_WRONG = 1;

/** For catch(): takes one error, passes the others on. */
const unless =
  (code: string) =>
  (error: unknown): void => {
    if (!(error instanceof SyscallError) || error.code !== code) throw error;
  };

export const main: Program = async (proc) => {
  const [, operands = "", ...more] = proc.argv;
  const operations = Number(operands);
  const valid = /^\d+$/.test(operands) && operations <= OPERATIONS_MAX;
  if (!valid || more.length > 1) {
    await proc.write(2, USAGE);
    return 2;
  }
  const random = new Random(proc.argv[2] === undefined ? await drawSeed(proc) : Number(proc.argv[2]) >>> 0);
  await proc.mkdir(DIRECTORY).catch(unless("EEXIST"));
  const workers = WORKERS_MIN + random.below(WORKERS_MAX - WORKERS_MIN + 1);
  const done = await proc.pipe();
  const gate = await proc.pipe();
  let started = 0;
  for (let i = 0; i < workers; i++) {
    const share = Math.floor((operations * (i + 1)) / workers) - Math.floor((operations * i) / workers);
    const seed = random.next();
    try {
      await proc.fork((child) => work(child, new Worker(child, i, seed), share, done, gate));
      started++;
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
    }
  }
  await proc.close(done[1]);
  const failed = await finish(proc, done[0], started);
  // The gate opens: its last writing end goes with this task.
  return failed ? STATUS_WRONG : 0;
};

type Pipe = readonly [readEnd: number, writeEnd: number];

/** A worker's life: its share, one byte to say that it is done, then, when all are, its end. */
async function work(proc: Proc, worker: Worker, share: number, done: Pipe, gate: Pipe): Promise<number> {
  await proc.close(done[0]);
  await proc.close(gate[1]);
  for (let i = 0; i < share; i++) await worker.step();
  await proc.write(done[1], worker.wrong ? "x" : ".");
  await proc.close(done[1]);
  await proc.read(gate[0], new Uint8Array(1));
  await proc.close(gate[0]);
  await worker.stay();
  return worker.wrong ? STATUS_WRONG : 0;
}

/** Until each worker has written its byte or is gone. Whether one has seen something wrong. */
async function finish(proc: Proc, read: number, workers: number): Promise<boolean> {
  let wrong = false;
  const byte = new Uint8Array(1);
  for (let done = 0; done < workers && (await proc.read(read, byte)) === 1; done++) {
    if (byte[0] !== ".".charCodeAt(0)) wrong = true;
  }
  // Those that have ended are reaped; the others are init's from here on.
  for (let found = await reap(proc); found !== undefined; found = await reap(proc)) {
    if (exitCode(found) === STATUS_WRONG) wrong = true;
  }
  return wrong;
}

/** The status of a child that has ended, undefined when none has. */
async function reap(proc: Proc): Promise<number | undefined> {
  const WNOHANG = 1;
  try {
    const { pid, status } = await proc.wait(-1, WNOHANG);
    return pid === 0 ? undefined : status;
  } catch (error) {
    if (error instanceof SyscallError && error.code === "ECHILD") return undefined;
    throw error;
  }
}

async function drawSeed(proc: Proc): Promise<number> {
  const bytes = new Uint8Array(4);
  const fd = await proc.open("/dev/urandom", O_RDONLY);
  await proc.read(fd, bytes);
  await proc.close(fd);
  return new DataView(bytes.buffer).getUint32(0, true);
}
