/**
 * Whether build/ still fits the sources, and who may build. A run must find out in a few milliseconds, so the
 * quick answer is a stamp of every source file's path, size and time; only when that differs (a fresh clone,
 * a touched file) are the contents hashed. Offers isFresh, buildAndMark and withBuildLock.
 */
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";

/** What the build reads, from the project's top. */
const SOURCES = ["kernel-wasm", "runtime", "tools", "asconfig.json", "package.json", "package-lock.json"];
/** What a run needs of the build. */
export const PRODUCTS = [
  "wkdump.js",
  "wkdump.bun.js",
  "wkdump.bun.js.jsc",
  "fixtures.js",
  "fixtures.d.ts",
  "vmlinuz",
  "initrd.img",
  "vmlinux",
  "vmlinuz-debug",
  "initrd-debug.img",
  "vmlinux-debug",
];

const STAMP_FILE = "sources.stamp";
const LOCK_FILE = "lock";
/** How often a waiting process looks whether the other build is done. */
const LOCK_POLL_ms = 50;

interface Stamp {
  /** One line a file: path, size, time of change in nanoseconds. */
  files: string;
  /** SHA-256 over paths and contents. */
  contents: string;
}

function sourceFiles(root: string, sources: readonly string[] = SOURCES): string[] {
  const files: string[] = [];
  const walk = (path: string): void => {
    for (const entry of readdirSync(join(root, path), { withFileTypes: true })) {
      if (entry.isDirectory()) walk(`${path}/${entry.name}`);
      else if (!entry.name.endsWith(".tmp")) files.push(`${path}/${entry.name}`);
    }
  };
  for (const source of sources) {
    const stat = statSync(join(root, source), { throwIfNoEntry: false });
    if (stat?.isDirectory()) walk(source);
    else if (stat !== undefined) files.push(source);
  }
  return files.sort();
}

function stampFiles(root: string, files: string[]): string {
  return files
    .map((file) => {
      const stat = statSync(join(root, file), { bigint: true });
      return `${file} ${stat.size} ${stat.mtimeNs}\n`;
    })
    .join("");
}

function hashContents(root: string, files: string[]): string {
  // Most runs find the stamp right and need no hash: the module takes as long to load as all stamps to read.
  const hash = process.getBuiltinModule("node:crypto").createHash("sha256");
  for (const file of files) {
    const contents = readFileSync(join(root, file));
    hash.update(`${file}\0${contents.length}\0`).update(contents);
  }
  return hash.digest("hex");
}

/** SHA-256, in hex, of the files and folders `sources` under `root`: paths and contents. */
export function hashSources(root: string, sources: readonly string[]): string {
  return hashContents(root, sourceFiles(root, sources));
}

function takeStamp(root: string): Stamp {
  const files = sourceFiles(root);
  return { files: stampFiles(root, files), contents: hashContents(root, files) };
}

function readStamp(root: string): Stamp | undefined {
  try {
    const [contents, ...files] = readFileSync(join(root, "build", STAMP_FILE), "utf8").split("\n");
    return { contents: contents ?? "", files: files.join("\n") };
  } catch {
    return undefined;
  }
}

function writeStamp(root: string, stamp: Stamp): void {
  const path = join(root, "build", STAMP_FILE);
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, `${stamp.contents}\n${stamp.files}`);
  renameSync(temporary, path);
}

/** True when build/ holds every product, made from the sources as they are now. */
export function isFresh(root: string): boolean {
  const made = readStamp(root);
  if (made === undefined) return false;
  const build = join(root, "build");
  if (!PRODUCTS.every((name) => statSync(join(build, name), { throwIfNoEntry: false }) !== undefined))
    return false;
  const files = sourceFiles(root);
  const now = stampFiles(root, files);
  if (now === made.files) return true;
  if (hashContents(root, files) !== made.contents) return false;
  writeStamp(root, { files: now, contents: made.contents });
  return true;
}

/**
 * Runs `build` and records which sources it was made from. They are stamped before it starts: a file that
 * changes meanwhile makes the result stale, never wrongly fresh.
 */
export async function buildAndMark(root: string, build: () => Promise<void>): Promise<void> {
  const stamp = takeStamp(root);
  // A build that fails half way leaves products of two builds: no stamp may call them fresh.
  rmSync(join(root, "build", STAMP_FILE), { force: true });
  await build();
  writeStamp(root, stamp);
}

function holderLives(path: string): boolean {
  let pid: number;
  try {
    pid = Number(readFileSync(path, "utf8"));
  } catch {
    return false;
  }
  // Between another process's creating the file and its writing the number the file is empty.
  if (!(pid > 0)) return (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > Date.now() - 2000;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/**
 * Runs `work` while holding build/lock, so that one process builds at a time. A lock whose process is gone is
 * taken over. `waiting` is called once when another process holds it.
 */
export async function withBuildLock(
  root: string,
  waiting: () => void,
  work: () => Promise<void>,
): Promise<void> {
  const build = join(root, "build");
  mkdirSync(build, { recursive: true });
  const lock = join(build, LOCK_FILE);
  for (let told = false; ; ) {
    try {
      const fd = openSync(lock, "wx");
      writeSync(fd, String(process.pid));
      closeSync(fd);
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    if (!holderLives(lock)) {
      // Rename is atomic: of several processes that find the dead lock only one removes it.
      const dead = `${lock}.${process.pid}.tmp`;
      try {
        renameSync(lock, dead);
        unlinkSync(dead);
      } catch {
        // Another process was quicker.
      }
      continue;
    }
    if (!told) waiting();
    told = true;
    await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_ms));
  }
  try {
    await work();
  } finally {
    unlinkSync(lock);
  }
}
