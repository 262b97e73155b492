/**
 * Running a program from a program, and small things that scripts do. A program file of the machine is a
 * line, `#!program NAME`; NAME is looked up in the table that the command line handed to the machine.
 *
 * A program that runs another spawns it as a task of its own and waits. The capture kernel, which has no
 * pages to spare for more tasks and their stacks, answers ENOSYS to that; there a program calls the other
 * one, as a multi-call binary calls its applets.
 */
import {
  exitCode,
  O_RDONLY,
  O_WRONLY,
  type Proc,
  type Program,
  SyscallError,
} from "../../runtime/user/proc.ts";

/**
 * Runs argv[0], a path or a name in PATH, to its end; its descriptor 1 is `stdout`. The exit status, 127: not
 * found.
 */
export type Run = (proc: Proc, argv: readonly string[], stdout?: number) => Promise<number>;

const PATH = ["/sbin", "/bin", "/usr/sbin", "/usr/bin"];
const PROGRAM_LINE = /^#!program (\S+)\n/;
/** The longest program file that is looked at, as Linux reads a #! line (BINPRM_BUF_SIZE). */
const PROGRAM_LINE_MAX = 256;

/** `proc` with other arguments and another descriptor 1. */
function withArguments(proc: Proc, argv: readonly string[], stdout: number): Proc {
  return new Proxy(proc, {
    get(target, key) {
      if (key === "argv") return argv;
      if (key === "write") {
        return (fd: number, data: Uint8Array | string) => target.write(fd === 1 ? stdout : fd, data);
      }
      const member: unknown = Reflect.get(target, key);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
}

/** Makes the function that runs the programs of a table. */
export function runner(programs: Readonly<Record<string, Program>>): Run {
  return async (proc, argv, stdout = 1) => {
    const command = argv[0] ?? "";
    const paths = command.includes("/") ? [command] : PATH.map((directory) => `${directory}/${command}`);
    for (const path of paths) {
      if (!(await exists(proc, path))) continue;
      const status = await spawnAndWait(proc, path, argv, stdout);
      if (status !== undefined) return status;
      const line = PROGRAM_LINE.exec(await readText(proc, path, PROGRAM_LINE_MAX));
      const program = line === null ? undefined : programs[line[1]!];
      if (program === undefined) {
        await proc.write(2, `${command}: cannot execute: required file not found\n`);
        return 127;
      }
      return program(withArguments(proc, argv, stdout));
    }
    await proc.write(2, `${command}: command not found\n`);
    return 127;
  };
}

/** The exit status of a task that runs the program at `path`; undefined where there are no tasks. */
async function spawnAndWait(
  proc: Proc,
  path: string,
  argv: readonly string[],
  stdout: number,
): Promise<number | undefined> {
  let pid: number;
  try {
    pid = await proc.spawn(path, argv, { dup: stdout === 1 ? [] : [[stdout, 1]] });
  } catch (error) {
    if (error instanceof SyscallError && error.code === "ENOSYS") return undefined;
    throw error;
  }
  return waitFor(proc, pid);
}

/** Waits for a child, and reaps what else dies meanwhile: orphans are init's. Its exit status. */
export async function waitFor(proc: Proc, pid: number): Promise<number> {
  for (;;) {
    const found = await proc.wait();
    if (found.pid === pid) return exitCode(found.status);
  }
}

export async function exists(proc: Proc, path: string): Promise<boolean> {
  try {
    await proc.stat(path);
    return true;
  } catch (error) {
    if (error instanceof SyscallError && error.code === "ENOENT") return false;
    throw error;
  }
}

/** The text of a small file, at most `length` bytes of it. */
export async function readText(proc: Proc, path: string, length = 64 * 1024): Promise<string> {
  const fd = await proc.open(path, O_RDONLY);
  try {
    const bytes: Uint8Array[] = [];
    let have = 0;
    while (have < length) {
      const buffer = new Uint8Array(Math.min(4096, length - have));
      const got = await proc.read(fd, buffer);
      if (got === 0) break;
      bytes.push(buffer.subarray(0, got));
      have += got;
    }
    const decoder = new TextDecoder();
    return bytes.map((piece) => decoder.decode(piece, { stream: true })).join("") + decoder.decode();
  } finally {
    await proc.close(fd);
  }
}

/** Writes a text to a file that is there: as a shell's echo into one of procfs or sysfs. */
export async function writeText(proc: Proc, path: string, text: string): Promise<void> {
  const fd = await proc.open(path, O_WRONLY);
  try {
    await proc.write(fd, text);
  } finally {
    await proc.close(fd);
  }
}

/** echo: a line on the console. */
export function echo(proc: Proc, text: string): Promise<void> {
  return proc.write(1, `${text}\n`);
}

/** Words of a command line; no quoting, as in the configuration files. */
export function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}
