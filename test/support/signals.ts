/** For tests of signals: programs in the kernel, what /proc says of them, and words of their memory. */
import { expect } from "vitest";
import type { Proc } from "../../runtime/user/proc.ts";
import type { Process } from "../../runtime/user/process.ts";
import { type KernelRun, readText, runInKernel } from "./kernel-program.ts";

export const SYS = {
  read: 0,
  write: 1,
  pause: 34,

  sigaltstack: 131,
  restart_syscall: 219,
  tgkill: 234,
};
export const EINTR = 4;
export const SIGRTMIN = 34;
/** Milliseconds of the machine's time: more is a hang. */
export const LIMIT = 100_000;

export const inKernel = (program: (proc: Proc) => Promise<void>, cpus = 1): Promise<KernelRun> =>
  runInKernel(program, { cpus, limit: LIMIT });

export const raw = (proc: Proc, nr: number, ...args: number[]): Promise<number> =>
  (proc as Process).syscall(nr, ...args);

/** A child that has got as far as `sleep`, and its end of the story. */
export async function sleeper(proc: Proc, program: (child: Proc) => Promise<number>): Promise<number> {
  const pid = await proc.fork(program);
  await proc.sleep(10);
  return pid;
}

export async function status(proc: Proc, pid: number | "self" = "self"): Promise<Record<string, string>> {
  const text = await readText(proc, `/proc/${pid}/status`);
  return Object.fromEntries([...text.matchAll(/^(\w+):\t(.*)$/gm)].map(([, name, value]) => [name, value]));
}

export const maskOf = (...signals: number[]): string =>
  signals
    .reduce((mask, signal) => mask | (1n << BigInt(signal - 1)), 0n)
    .toString(16)
    .padStart(16, "0");

/** Bytes of the program's memory, through a pipe: what the kernel reads is what is there. */
export async function peek(proc: Proc, address: number): Promise<bigint> {
  const [read, write] = await proc.pipe();
  expect(await raw(proc, SYS.write, write, address, 8)).toBe(8);
  const bytes = new Uint8Array(8);
  await proc.read(read, bytes);
  await proc.close(read);
  await proc.close(write);
  return new DataView(bytes.buffer).getBigUint64(0, true);
}

export async function poke(proc: Proc, address: number, value: bigint): Promise<void> {
  const [read, write] = await proc.pipe();
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  await proc.write(write, bytes);
  expect(await raw(proc, SYS.read, read, address, 8)).toBe(8);
  await proc.close(read);
  await proc.close(write);
}
