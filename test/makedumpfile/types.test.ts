/** makedumpfile -g, -i, -x: what a vmlinux tells of a dump's kernel, in place of the dump itself. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import { openDump } from "../../tools/dump/open.ts";
import { main } from "../../tools/makedumpfile/main.ts";
import { type BootDump, bootDump, built } from "../support/boot.ts";
import { FakeProc } from "../support/fake-proc.ts";
import { withoutNote } from "../support/vmcore.ts";

let dump: BootDump;
let core: Uint8Array;
let bare: Uint8Array;
const vmlinux = readFileSync(built("vmlinux"));

beforeAll(() => {
  dump = bootDump(["--memory", "12M", "--seed", "9", "--append", "crashkernel=1M", "--workload", "20"]);
  core = readFileSync(dump.vmcore);
  bare = withoutNote(core, "VMCOREINFO");
}, 60_000);
afterAll(() => dump?.remove());

async function run(
  args: string,
  files: Record<string, string | Uint8Array> = {},
): Promise<FakeProc & { status: number }> {
  const proc = new FakeProc(["makedumpfile", ...args.split(" ")]);
  proc.directories.add("");
  proc.put("/vmcore", core);
  proc.put("/bare", bare);
  proc.put("/vmlinux", vmlinux);
  for (const [name, bytes] of Object.entries(files)) proc.put(name, bytes);
  return Object.assign(proc, { status: await main(proc) });
}

const generated = async (): Promise<string> => (await run("-g /info -x /vmlinux")).text("/info");

describe("-g", () => {
  it("writes what the kernel itself says of its layout", async () => {
    const { status, console: said } = await run("-g /info -x /vmlinux");
    expect([status, said]).toEqual([0, "\nThe vmcoreinfo is saved to /info.\n\nmakedumpfile Completed.\n"]);
    const lines = (await generated()).trimEnd().split("\n");
    expect(lines.slice(0, 2)).toEqual(["OSRELEASE=5.15.0-wasm", "PAGESIZE=4096"]);
    const own = (await openDump([new MemoryBytes("vmcore", core)])).vmcoreinfo;
    let common = 0;
    for (const line of lines) {
      const [key = "", value] = line.split("=");
      // The kernel gives where these point, or how long they are.
      if (!own.has(key) || /mem_section|node_data/.test(key)) continue;
      expect(line).toBe(`${key}=${own.value(key)}`);
      expect(value).not.toBe("");
      common++;
    }
    expect(common).toBeGreaterThan(60);
  });

  it("wants a vmlinux, and nothing else", async () => {
    const invalid = "Commandline parameter is invalid.\nTry `makedumpfile --help' for more information.\n";
    const failed = "\nmakedumpfile Failed.\n";
    for (const args of ["-g /info", "-g /info -x /vmlinux /vmcore", "-g /info -x /vmlinux -d 1"]) {
      expect((await run(args)).console).toBe(invalid + failed);
    }
    const dry = await run("-g /info -x /vmlinux --dry-run");
    expect(dry.console).toBe(`--dry-run cannot be used with -g.\n${invalid}${failed}`);
    const absent = await run("-g /info -x /nowhere");
    expect(absent.console).toMatch(
      /^open_kernel_file: Can't open the kernel file\(\/nowhere\)\. No such file/,
    );
    const nothing = await run("-g /nowhere/info -x /vmlinux");
    expect(nothing.console).toMatch(/^open_vmcoreinfo: Can't open the vmcoreinfo file\(\/nowhere\/info\)\./);
    const other = await run("-g /info -x /vmcore");
    expect([other.status, other.console, other.files.has("/info")]).toEqual([
      1,
      expect.stringContaining("/vmcore, offset 0x28: no section headers"),
      false,
    ]);
  });
});

describe("-x and -i", () => {
  it.each([2, 8, 16, 31])(
    "keep the pages at level %i that the dump's own VMCOREINFO keeps",
    async (level) => {
      const info = await generated();
      const plain = (await run(`-d ${level} /vmcore /dump`)).files.get("/dump")!;
      for (const args of [`-x /vmlinux`, `-i /info`]) {
        const { files, status } = await run(`${args} -d ${level} /vmcore /dump`, { "/info": info });
        expect(status).toBe(0);
        expect(Buffer.compare(files.get("/dump")!, plain)).toBe(0);
        const without = await run(`${args} -d ${level} /bare /dump`, { "/info": info });
        const dumps = [plain, without.files.get("/dump")!].map((bytes) =>
          openDump([new MemoryBytes("", bytes)]),
        );
        const [one, two] = await Promise.all(dumps);
        const pages = await Promise.all([one!.pages(), two!.pages()]);
        expect(pages[1]!.dumped.bytes).toEqual(pages[0]!.dumped.bytes);
      }
    },
  );

  it("are what a dump without VMCOREINFO needs", async () => {
    expect((await run("-d 31 /bare /dump")).status).toBe(1);
    const log = await run("--dump-dmesg -x /vmlinux /bare /log");
    expect([log.status, log.text("/log")]).toEqual([
      0,
      (await run("--dump-dmesg /vmcore /log")).text("/log"),
    ]);
    expect(log.text("/log")).toContain("Linux version 5.15.0-wasm");
  });

  it("refuse what is of another kernel, with status 2", async () => {
    const other = (await generated()).replace("5.15.0-wasm", "5.15.1-other");
    const { status, console: said, files } = await run("-i /info /vmcore /dump", { "/info": other });
    expect([status, said, files.has("/dump")]).toEqual([
      2,
      "check_release: /info and /vmcore don't match.\n\nmakedumpfile Failed.\n",
      false,
    ]);
    const changed = Buffer.from(vmlinux);
    // Every copy in the file: only the one in its utsname counts.
    for (let at = 0; (at = changed.indexOf("5.15.0-wasm", at)) >= 0; ) changed.write("5.16.0", at);
    const wrong = await run("-x /wrong /vmcore /dump", { "/wrong": changed });
    expect([wrong.status, wrong.console]).toEqual([
      2,
      "check_release: /wrong and /vmcore don't match.\n\nmakedumpfile Failed.\n",
    ]);
  });

  it("say what is wrong with them", async () => {
    const no = await run("-i /info /vmcore /dump", { "/info": "SIZE(page)=64\n" });
    expect([no.status, no.console]).toEqual([1, expect.stringContaining("Invalid format in /info")]);
    const both = await run("-i /info -x /vmlinux /vmcore /dump");
    expect(both.console).toMatch(/^Commandline parameter is invalid\./);
    const absent = await run("-i /nowhere /vmcore /dump");
    expect(absent.console).toMatch(/^open_vmcoreinfo: Can't open the vmcoreinfo file\(\/nowhere\)\./);
  });
});
