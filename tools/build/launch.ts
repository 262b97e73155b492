/**
 * Starts wkdump in a checkout: builds first when the sources changed, and not otherwise.
 *
 *     bun tools/build/launch.ts ENGINE ARGS...     ENGINE is bun, node, deno; or build: only build
 *
 * Under Bun the command runs in this very process, because a second start would cost a third of a whole boot.
 * Node and Deno get a process of their own that only runs build/wkdump.js; Deno may touch the files it is
 * told, no more.
 */
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { buildAndMark, isFresh, withBuildLock } from "./stale.ts";

const ROOT = dirname(dirname(import.meta.dir));
const BUNDLE = join(ROOT, "build/wkdump.js");
const BUN_BUNDLE = join(ROOT, "build/wkdump.bun.js");
/** Where boot and capture save without --out. */
const OUT_DEFAULT = "var/crash";

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function ensureBuilt(): Promise<void> {
  if (isFresh(ROOT)) return;
  await withBuildLock(
    ROOT,
    () => say("build: another process is building, waiting for it"),
    async () => {
      if (isFresh(ROOT)) return;
      const start = performance.now();
      // A build of less than a second says nothing; a longer one tells where it is.
      let step = "sources changed, building";
      let loud = false;
      const timer = setTimeout(() => {
        loud = true;
        say(`build: ${step}`);
      }, 1000);
      const log = (text: string): void => {
        step = text;
        if (loud) say(`build: ${text}`);
      };
      try {
        await buildAndMark(ROOT, async () => {
          const { build } = await import("./main.ts");
          await build({ log });
        });
      } finally {
        clearTimeout(timer);
      }
      const seconds = (performance.now() - start) / 1000;
      if (seconds > 1) say(`build: done in ${seconds.toFixed(1)} s`);
    },
  );
}

/** The path, or the first directory of it that does not exist yet and must be made. */
function firstMissing(path: string): string {
  const parent = dirname(path);
  return parent === path || existsSync(parent) ? path : firstMissing(parent);
}

/** Deno's permissions: the build, and what the arguments name. */
function denoPermissions(args: string[]): string[] {
  const write: string[] = [];
  const read = [join(ROOT, "build")];
  const value = (flag: string): string | undefined => {
    const at = args.findIndex((arg) => arg === flag || arg.startsWith(`${flag}=`));
    return at < 0 || args[at] !== flag ? args[at]?.slice(flag.length + 1) : args[at + 1];
  };
  write.push(firstMissing(resolve(value("--out") ?? OUT_DEFAULT)));
  // A new file lies under a temporary name until it is complete.
  for (const file of [value("--save-memory"), value("-o")]) {
    if (file !== undefined) write.push(resolve(file), resolve(`${file}.incomplete`));
  }
  for (const arg of args.slice(1)) if (!arg.startsWith("-") && existsSync(arg)) read.push(resolve(arg));
  return [
    `--allow-read=${[...read, ...write].join(",")}`,
    `--allow-write=${write.join(",")}`,
    "--allow-env=NO_COLOR,FORCE_COLOR",
  ];
}

/** Runs build/wkdump.js in a process of its own; its exit status, or 128 + the signal that ended it. */
function runElsewhere(command: string, args: string[]): Promise<number> {
  const { spawn } = process.getBuiltinModule("node:child_process");
  return new Promise((done, fail) => {
    const child = spawn(command, args, { stdio: "inherit" });
    child.on("error", fail);
    child.on("exit", (code, signal) => done(code ?? (signal === "SIGINT" ? 130 : 143)));
  });
}

async function launch(engine: string | undefined, args: string[]): Promise<void> {
  switch (engine) {
    case "build":
      return ensureBuilt();
    case "bun":
      await ensureBuilt();
      process.argv = [process.argv[0]!, BUN_BUNDLE, ...args];
      await import(BUN_BUNDLE);
      return;
    case "node":
      await ensureBuilt();
      process.exitCode = await runElsewhere("node", [BUNDLE, ...args]);
      return;
    case "deno": {
      await ensureBuilt();
      const deno = join(ROOT, "node_modules/.bin/deno");
      const quiet = ["run", "--quiet", "--no-prompt", "--no-config", "--no-lock"];
      process.exitCode = await runElsewhere(deno, [...quiet, ...denoPermissions(args), BUNDLE, ...args]);
      return;
    }
    default:
      say("usage: bun tools/build/launch.ts bun|node|deno ARGS...   or   bun tools/build/launch.ts build");
      process.exitCode = 2;
  }
}

try {
  await launch(process.argv[2], process.argv.slice(3));
} catch (error) {
  // What is wrong with the sources is told by the message; a stack would be about the build itself.
  const aboutSources = error instanceof Error && /^(Build|Layout|Link|Image)Error$/.test(error.name);
  say(aboutSources ? `build: ${error.message}` : String((error as Error).stack ?? error));
  process.exitCode = 1;
}
