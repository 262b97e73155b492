/** makedumpfile with threads: the same bytes however many there are, and an end whatever becomes of one. */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { hostProc } from "../../runtime/adapter/index.ts";
import type { Proc } from "../../runtime/user/proc.ts";
import { main } from "../../tools/makedumpfile/main.ts";
import { type BootDump, bootDump, built, wkdump } from "../support/boot.ts";
import { run, type StockRun } from "../support/stock.ts";

const NODE = process.execPath;
const DENO = join(built(".."), "node_modules/.bin/deno");

let dump: BootDump;
let directory: string;
const path = (name: string): string => join(directory, name);
const digest = (name: string): string =>
  createHash("sha256")
    .update(readFileSync(path(name)))
    .digest("hex");

beforeAll(() => {
  const flags = ["--memory", "48M", "--append", "crashkernel=1M", "--seed", "6", "--fill", "30%"];
  dump = bootDump(flags);
  directory = mkdtempSync(join(tmpdir(), "wkdump-threads-"));
}, 120_000);
afterAll(() => {
  dump?.remove();
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

/** A dump by so many threads; its digest. */
function makedumpfile(args: readonly string[], threads: number, vmcore = dump.vmcore): string {
  const line = ["makedumpfile", "-f", "--num-threads", String(threads), ...args, vmcore, path("out")];
  const { status, output } = wkdump(line);
  expect([status, output]).toEqual([0, expect.stringContaining("makedumpfile Completed.")]);
  return digest("out");
}

describe("the dump is the same", () => {
  const codecs = ["", "-c", "-l", "-p", "-z"];
  it.each(codecs.flatMap((codec) => [0, 31].map((level) => [`-d ${level} ${codec}`.trim()])))(
    "with 1, 2, 3 and 8 threads: %s",
    (line) => {
      const found = [1, 2, 3, 8].map((threads) => makedumpfile(line.split(" "), threads));
      expect(new Set(found).size).toBe(1);
    },
    60_000,
  );

  it("of a compressed dump as of the ELF core", () => {
    const direct = makedumpfile(["-p", "-d", "1"], 1);
    for (const codec of ["-l", "-c"]) {
      makedumpfile([codec, "-d", "1"], 1);
      rmSync(path("packed"), { force: true });
      writeFileSync(path("packed"), readFileSync(path("out")));
      for (const threads of [1, 2, 3]) {
        expect(makedumpfile(["-p", "-d", "1"], threads, path("packed"))).toBe(direct);
      }
    }
  }, 60_000);

  it.each([
    ["Node", [NODE]],
    ["Deno", [DENO, "run", "-A", "--quiet"]],
  ])(
    "on %s",
    (_name, [engine = "", ...flags]) => {
      const made = (...args: string[]): string => {
        const command = [
          ...flags,
          built("wkdump.js"),
          "makedumpfile",
          "-f",
          ...args,
          dump.vmcore,
          path("out"),
        ];
        const { status, output } = run(engine, command);
        expect(status, output).toBe(0);
        return digest("out");
      };
      expect(made("-l", "-d", "31", "--num-threads", "3")).toBe(makedumpfile(["-l", "-d", "31"], 1));
      expect(made("-c", "-d", "1", "--num-threads", "3")).toBe(made("-c", "-d", "1", "--num-threads", "1"));
    },
    60_000,
  );

  it("when the files of a set are written by as many threads as there are CPUs", async () => {
    const names = ["a", "b", "c"].map(path);
    const { status, output } = wkdump(["makedumpfile", "--split", "-l", dump.vmcore, ...names]);
    expect(status, output).toBe(0);
    const files = names.map((name) => readFileSync(name));
    // Without the threads' program there is one thread.
    const proc = hostProc([
      "makedumpfile",
      "-f",
      "--message-level",
      "0",
      "--split",
      "-l",
      dump.vmcore,
      ...names,
    ]);
    expect(await main(proc)).toBe(0);
    for (const [n, name] of names.entries()) expect(Buffer.compare(readFileSync(name), files[n]!)).toBe(0);
    const whole = makedumpfile(["-l"], 1);
    expect(wkdump(["makedumpfile", "-f", "--reassemble", ...names, path("out")]).status).toBe(0);
    expect(digest("out")).toBe(whole);
  }, 60_000);
});

describe("--num-threads", () => {
  it("and --dry-run write nothing", () => {
    const args = ["makedumpfile", "--dry-run", "--num-threads", "3", "-l", dump.vmcore, path("dry")];
    expect(wkdump(args).status).toBe(0);
    expect(existsSync(path("dry"))).toBe(false);
  });

  it("writes streams all the same", () => {
    const line = (threads: number): StockRun =>
      run("sh", [
        "-c",
        `"$0" "$1" makedumpfile -F -l --num-threads ${threads} "$2" > "$3"`,
        NODE,
        built("wkdump.js"),
        dump.vmcore,
        path(`stream${threads}`),
      ]);
    for (const threads of [1, 3]) expect(line(threads).status).toBe(0);
    expect(digest("stream3")).toBe(digest("stream1"));
  });

  it("says what one thread says of a dump that was cut off", () => {
    const cut = path("cut");
    writeFileSync(cut, readFileSync(dump.vmcore).subarray(0, statSync(dump.vmcore).size / 2));
    const said = [1, 2, 8].map((threads) => {
      const args = ["makedumpfile", "-f", "--message-level", "4", "-l", "--num-threads", String(threads)];
      const { status, stderr } = wkdump([...args, cut, path("out")]);
      expect(status).toBe(1);
      return stderr;
    });
    expect(said[0]).toMatch(/physical memory 0x[0-9a-f]+\.\.0x[0-9a-f]+ should lie at/);
    expect(new Set(said).size).toBe(1);
  });
});

/** Reads take so long that other threads get something to do. */
function slowly(proc: Proc): Proc {
  return new Proxy(proc, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return async (...args: unknown[]) => {
        if (name === "pread") await new Promise((resolve) => setTimeout(resolve, 20));
        return member.apply(target, args);
      };
    },
  });
}

describe("a thread that dies", () => {
  const takesOne = "new Int32Array(work.chain)[0]++;";
  it.each([
    ["before it begins", 'throw new Error("no");', /a thread of makedumpfile has died: no$/],
    [
      "with work in its hands",
      `parentPort.on("message", ({ work }) => { ${takesOne} process.exit(3); });`,
      /a thread of makedumpfile has died: it has ended$/,
    ],
    [
      "of an exception",
      `parentPort.on("message", ({ work }) => { ${takesOne} throw new Error("bad luck"); });`,
      /a thread of makedumpfile has died: bad luck$/,
    ],
  ])("%s is an error", async (_name, body, message) => {
    const program = path("thread.mjs");
    const text = `import { parentPort } from "node:worker_threads";\n${body}\n`;
    writeFileSync(program, text);
    const bytes = new TextEncoder().encode(text);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    vi.stubGlobal("BUILT_ASSETS", { "packer.js": { size: bytes.length, sha256 } });
    const line = ["makedumpfile", "-f", "--message-level", "0", "--num-threads", "3", "-l", dump.vmcore];
    const beside = { asset: () => bytes, assetUrl: () => pathToFileURL(program) };
    await expect(main(slowly(hostProc([...line, path("out")])), beside)).rejects.toThrow(message);
    vi.unstubAllGlobals();
  });
});
