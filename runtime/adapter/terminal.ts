/**
 * What a command-line program has of its host: arguments, standard streams, files by their host path, and the
 * files that were built beside the program. Everything is synchronous: output is on its way when a call
 * returns.
 */

import * as fs from "node:fs";
import * as path from "node:path";
import process from "node:process";
import { hostError } from "./node.ts";
import { writeAll } from "./write.ts";

/** What lies beside the program. */
export interface BesideProgram {
  /** A file that was built with it. HostError when it cannot be read. */
  asset(name: string): Uint8Array<ArrayBuffer>;
  /** Where such a file lies, for a thread to run. */
  assetUrl(name: string): URL;
}

export interface Terminal extends BesideProgram {
  /** The arguments after the program's name. */
  readonly args: readonly string[];
  /** Whether somebody watches stdout. */
  readonly tty: boolean;
  /** Whether that somebody wants colours (https://no-color.org). */
  readonly color: boolean;
  out(data: string | Uint8Array): void;
  err(data: string): void;
  /** A file's bytes in pieces, each overwritten by the next. HostError when it cannot be read. */
  readChunks(name: string): Iterable<Uint8Array>;
  /** A new file in the place of `name`, once it is complete. HostError when it cannot be written. */
  createFile(name: string): NewFile;
  /** `name` as a user can type it from here: relative when it lies below. */
  display(name: string): string;
  absolute(name: string): string;
  /** Ends the process at once: all output is written by then. */
  exit(status: number): never;
}

/** A file on its way: it lies beside its name until finish(), so that nobody sees a part of it. */
export interface NewFile {
  write(piece: Uint8Array): void;
  /** All is written: the file gets its name. */
  finish(): void;
  /** Nothing comes of it; does nothing after finish(). */
  discard(): void;
}

/** What is not complete yet has this behind its name. */
const INCOMPLETE = ".incomplete";
const PIECE = 1 << 20;

/** Beside the program: in the bundle's folder. */
const beside = (name: string): string => path.join(import.meta.dirname, name);

function attempt<T>(operation: string, name: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw hostError(error, operation, name);
  }
}

function readChunks(name: string): Iterable<Uint8Array> {
  return readPieces(
    attempt("open", name, () => fs.openSync(name, "r")),
    name,
  );
}

function* readPieces(fd: number, name: string): Generator<Uint8Array> {
  try {
    const buffer = new Uint8Array(PIECE);
    for (;;) {
      const bytes = attempt("read", name, () => fs.readSync(fd, buffer));
      if (bytes === 0) return;
      yield buffer.subarray(0, bytes);
    }
  } finally {
    fs.closeSync(fd);
  }
}

function createFile(name: string): NewFile {
  const incomplete = `${name}${INCOMPLETE}`;
  let fd: number | undefined = attempt("create", name, () => fs.openSync(incomplete, "w"));
  const close = (): boolean => {
    if (fd === undefined) return false;
    fs.closeSync(fd);
    fd = undefined;
    return true;
  };
  return {
    write: (piece) => attempt("write", name, () => writeAll(fd!, piece, null)),
    finish: () =>
      attempt("rename", name, () => {
        close();
        fs.renameSync(incomplete, name);
      }),
    discard: () => {
      if (close()) fs.unlinkSync(incomplete);
    },
  };
}

/** A reader that closes the pipe early (`| head`) ends the program quietly, as SIGPIPE would. */
function write(fd: number, data: string | Uint8Array): void {
  try {
    writeAll(fd, typeof data === "string" ? new TextEncoder().encode(data) : data, null);
  } catch (error) {
    if ((error as { code?: unknown }).code === "EPIPE") process.exit(141);
    throw hostError(error, "write", fd === 1 ? "standard output" : "standard error");
  }
}

export const besideProgram: BesideProgram = {
  asset: (name) => {
    const file = beside(name);
    return attempt("read", file, () => fs.readFileSync(file));
  },
  assetUrl: (name) => process.getBuiltinModule("node:url").pathToFileURL(beside(name)),
};

export function terminal(): Terminal {
  return {
    ...besideProgram,
    args: process.argv.slice(2),
    // process.stdout.isTTY takes as long as a tenth of a boot. It would tell a terminal from /dev/null, where
    // colours do no harm.
    get tty() {
      return attempt("stat", "standard output", () => fs.fstatSync(1).isCharacterDevice());
    },
    get color() {
      return this.tty && !process.env.NO_COLOR;
    },
    out: (data) => write(1, data),
    err: (data) => write(2, data),
    readChunks,
    createFile,
    display: (name) => {
      const absolute = path.resolve(name);
      const relative = path.relative(process.cwd(), absolute);
      return relative !== "" && !relative.startsWith("..") ? relative : absolute;
    },
    absolute: (name) => path.resolve(name),
    exit: (status) => process.exit(status),
  };
}
