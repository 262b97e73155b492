/** Dumps that do not fit: -L, a full disk, and the levels that are tried then. */
import { describe, expect, it } from "vitest";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import { openDump } from "../../tools/dump/open.ts";
import { main } from "../../tools/makedumpfile/main.ts";
import { namedKernel } from "../support/dumps.ts";
import { FakeProc } from "../support/fake-proc.ts";
import { concat } from "../support/vmcore.ts";

const kernel = namedKernel();
const core = kernel.build();
/** The mock kernel's memory is mostly zeros: level 1 fits where 0 does not. */
const LIMIT = 300 * 1024;
const FULL = `\nCan't write the dump file(/dump). Size limit(${LIMIT}) reached.\n`;
const INCOMPLETE = "This is an incomplete dumpfile, but might analyzable.\n\nmakedumpfile Failed.\n";

class Disk extends FakeProc {
  /** Bytes that a file may have. */
  room = Number.POSITIVE_INFINITY;
  /** How often a file was made. */
  made = 0;
  /** Standard input, and what went to standard output as bytes. */
  input = new Uint8Array(0);
  out = new Uint8Array(0);

  override async open(path: string, flags: number): Promise<number> {
    if (path === "/dump" && flags !== 0) this.made++;
    return super.open(path, flags);
  }

  override async read(fd: number, buffer: Uint8Array): Promise<number> {
    if (fd !== 0) return super.read(fd, buffer);
    const part = this.input.subarray(0, buffer.length);
    this.input = this.input.subarray(part.length);
    buffer.set(part);
    return part.length;
  }

  override async write(fd: number, data: Uint8Array | string): Promise<void> {
    if (fd === 1 && typeof data !== "string") this.out = concat(this.out, data);
    const size = this.files.get("/dump")?.length ?? 0;
    if (fd > 2 && size + data.length > this.room) this.failures.set("write /dump", "ENOSPC");
    return super.write(fd, data);
  }
}

async function run(args: string, room?: number): Promise<Disk & { status: number }> {
  const proc = new Disk(["makedumpfile", "--message-level", "6", ...args.split(" ")]);
  proc.directories.add("");
  proc.put("/vmcore", core);
  if (room !== undefined) proc.room = room;
  return Object.assign(proc, { status: await main(proc) });
}

const open = (bytes: Uint8Array) => openDump([new MemoryBytes("dump", bytes)]);

describe("makedumpfile -L", () => {
  it("writes a dump that fits as without it", async () => {
    const free = await run("-d 1 /vmcore /dump");
    const limited = await run(`-d 1 -L ${LIMIT} /vmcore /dump`);
    expect(limited.console).toBe(free.console);
    expect(Buffer.compare(limited.files.get("/dump")!, free.files.get("/dump")!)).toBe(0);
  });

  it.each([
    ["", 8],
    ["-l ", 8 | 2],
  ])("%sleaves what fits, and says so in the file and by the exit status", async (codec, flags) => {
    // Random bytes do not become less by compression.
    const limit = codec === "" ? LIMIT : 20 * 1024;
    const { status, files, console: said } = await run(`${codec}-L ${limit} /vmcore /dump`);
    expect([status, said]).toEqual([1, `${FULL.replace(String(LIMIT), String(limit))}${INCOMPLETE}`]);
    const bytes = files.get("/dump")!;
    expect(bytes.length).toBeLessThanOrEqual(limit);
    const dump = await open(bytes);
    expect(dump.header?.status).toBe(flags);
    expect(dump.problems).toContain(
      "the dump is incomplete (status 8): there was no room for its last pages",
    );
    expect(dump.vmcoreinfo.value("OSRELEASE")).toBe("5.15.0-mock");
  });

  it("marks an ELF core too", async () => {
    const { status, files, console: said } = await run(`-E -L ${LIMIT} /vmcore /dump`);
    expect([status, said]).toEqual([1, `${FULL}${INCOMPLETE}`]);
    const bytes = files.get("/dump")!;
    expect(bytes.length).toBe(LIMIT);
    const dump = await open(bytes);
    expect(dump.problems[0]).toMatch(/could not write the whole dump \(e_flags 1\)/);
    expect(Buffer.compare(await dump.read(0, 4096), kernel.memory.bytes.subarray(0, 4096))).toBe(0);
  });

  it("tries the next level of the list, in a new file", async () => {
    const { status, files, made, console: said } = await run(`-d 0,0,1 -L ${LIMIT} /vmcore /dump`);
    const retry = (level: number) => `${FULL}Retry to create a dumpfile by dump_level(${level}).\n`;
    expect([status, made]).toEqual([0, 3]);
    expect(said).toBe(`${retry(0)}${retry(1)}\nThe dumpfile is saved to /dump.\n\nmakedumpfile Completed.\n`);
    const plain = await run("-d 1 /vmcore /dump");
    expect(Buffer.compare(files.get("/dump")!, plain.files.get("/dump")!)).toBe(0);
    const none = await run("-d 0,0 -L 50000 /vmcore /dump");
    expect([none.status, none.made]).toEqual([1, 2]);
  });

  it("leaves a file without room for its header as it is", async () => {
    const { status, files, console: said } = await run("-L 400 /vmcore /dump");
    expect([status, files.get("/dump")!.length]).toEqual([1, 400]);
    expect(said).not.toContain("incomplete");
  });

  it("fills every file of a split set, and marks all", async () => {
    const { status, files, console: said } = await run("--split -L 200000 /vmcore /a /b");
    expect(status).toBe(1);
    for (const name of ["/a", "/b"]) {
      expect(said).toContain(`Can't write the dump file(${name}). Size limit(200000) reached.`);
      expect(files.get(name)!.length).toBe(200000);
      expect((await open(files.get(name)!)).header?.status).toBe(8);
    }
  });

  it("counts without writing on --dry-run", async () => {
    const { status, files, console: said } = await run(`--dry-run -d 0,1 -L ${LIMIT} /vmcore /dump`);
    expect([status, files.has("/dump")]).toEqual([0, false]);
    expect(said).toContain("Retry to create a dumpfile by dump_level(1).");
  });

  it("ends a stream at the limit: nothing in it can be taken back", async () => {
    const { status, console: said } = await run(`-F -d 0,1 -L ${LIMIT} /vmcore`);
    expect(status).toBe(1);
    expect(said).toMatch(
      /Can't write the dump file\(STDOUT\)\. Size limit\(307200\) reached\.\n\nmakedumpfile F/,
    );
    expect(said).not.toContain("Retry");
  });
});

describe("no room for what is no new dump", () => {
  it.each([
    ["--dump-dmesg -L 60 /vmcore /dump", "log", "Size limit(60) reached."],
    ["--dump-dmesg /vmcore /dump", "log", "No space left on device"],
    ["-R /dump", "dump", "No space left on device"],
    ["--reassemble /part /other /dump", "dump", "No space left on device"],
  ])("makedumpfile %s", async (args, what, why) => {
    const made = await run("--split /vmcore /part /other");
    const flat = await run("-F -d 1 /vmcore");
    expect([made.status, flat.status]).toEqual([0, 0]);
    const proc = new Disk(["makedumpfile", "--message-level", "6", ...args.split(" ")]);
    proc.directories.add("");
    proc.put("/vmcore", core);
    for (const name of ["/part", "/other"]) proc.put(name, made.files.get(name)!);
    proc.input = flat.out;
    if (!args.includes("-L")) proc.room = 60;
    const status = await main(proc);
    expect([status, proc.console]).toEqual([
      1,
      `\nCan't write the ${what} file(/dump). ${why}\n\nmakedumpfile Failed.\n`,
    ]);
  });
});

describe("a full disk", () => {
  const NO_SPACE = "\nCan't write the dump file(/dump). No space left on device\n";

  it("is as a limit", async () => {
    const { status, console: said } = await run("-d 0 /vmcore /dump", LIMIT);
    expect([status, said.startsWith(NO_SPACE)]).toEqual([1, true]);
  });

  it("makes the next level be tried", async () => {
    const { made, console: said } = await run("-d 0,1 /vmcore /dump", LIMIT);
    expect(said.startsWith(`${NO_SPACE}Retry to create a dumpfile by dump_level(1).\n`)).toBe(true);
    expect(made).toBe(2);
  });
});
