/**
 * A Proc for tests of programs that only read: files are arrays, what is written to descriptors 1 and 2 is
 * kept.
 */
import { type Proc, SyscallError } from "../../runtime/user/proc.ts";
import { bytesOf, textOf } from "./vmcore.ts";

export interface MockRun {
  status: number;
  stdout: string;
  stderr: string;
}

/** Runs a program on files; its writes to descriptors 1 and 2 come back as text, one character a byte. */
export async function runProgram(
  main: (proc: Proc) => Promise<number>,
  argv: readonly string[],
  files: Record<string, Uint8Array> = {},
): Promise<MockRun> {
  const output: Record<number, string> = { 1: "", 2: "" };
  const open = new Map<number, Uint8Array>();
  const file = (fd: number, call: string) => {
    const bytes = open.get(fd);
    if (bytes === undefined) throw new SyscallError(9, "EBADF", call);
    return bytes;
  };
  const calls: Partial<Proc> = {
    argv,
    async open(path) {
      const bytes = files[path];
      if (bytes === undefined) throw new SyscallError(2, "ENOENT", "open", path);
      const fd = 3 + open.size;
      open.set(fd, bytes);
      return fd;
    },
    async close(fd) {
      file(fd, "close");
      open.delete(fd);
    },
    async fstat(fd) {
      return { mode: 0o100400, size: file(fd, "fstat").length };
    },
    async pread(fd, buffer, offset) {
      const bytes = file(fd, "pread");
      const part = bytes.subarray(
        Math.min(offset, bytes.length),
        Math.min(offset + buffer.length, bytes.length),
      );
      buffer.set(part);
      return part.length;
    },
    async write(fd, data) {
      output[fd] += textOf(typeof data === "string" ? bytesOf(data) : data);
    },
  };
  const status = await main(calls as Proc);
  return { status, stdout: output[1] ?? "", stderr: output[2] ?? "" };
}
