/** makedumpfile --config: what of a dump is overwritten, and what the dump says of it. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AddressSpace } from "../../tools/dump/address-space.ts";
import { MemoryBytes } from "../../tools/dump/bytes.ts";
import type { KernelDump } from "../../tools/dump/memory-source.ts";
import { openDump } from "../../tools/dump/open.ts";
import { main } from "../../tools/makedumpfile/main.ts";
import { KernelTypes } from "../../tools/makedumpfile/types.ts";
import { type BootDump, bootDump, built } from "../support/boot.ts";
import { FakeProc } from "../support/fake-proc.ts";

const X = 0x58;
const vmlinux = readFileSync(built("vmlinux"));
let dump: BootDump;
let core: Uint8Array;
let types: KernelTypes;

beforeAll(async () => {
  const flags = ["--memory", "12M", "--seed", "9", "--append", "crashkernel=1M secret=hunter2"];
  dump = bootDump([...flags, "--workload", "20", "--modules", "crasher"]);
  core = readFileSync(dump.vmcore);
  const names = { types: ["task_struct"], variables: ["init_task", "linux_banner", "saved_command_line"] };
  types = await KernelTypes.open(new MemoryBytes("vmlinux", vmlinux), names);
}, 60_000);
afterAll(() => dump?.remove());

async function run(args: string, config: string): Promise<FakeProc & { status: number }> {
  const proc = new FakeProc(["makedumpfile", ...args.split(" ")]);
  proc.directories.add("");
  proc.put("/vmcore", core);
  proc.put("/vmlinux", vmlinux);
  proc.put("/rules", config);
  return Object.assign(proc, { status: await main(proc) });
}

/** The dump that the rules make. */
async function erased(config: string, args = "-d 0"): Promise<{ dump: KernelDump; said: string }> {
  const {
    status,
    files,
    console: said,
  } = await run(`${args} -x /vmlinux --config /rules /vmcore /dump`, config);
  expect(status, said).toBe(0);
  return { dump: await openDump([new MemoryBytes("dump", files.get("/dump")!)]), said };
}

const plain = () => openDump([new MemoryBytes("vmcore", core)]);
const offsetOf = async (member: string): Promise<number> =>
  (await types.debug.member((await types.debug.structure("task_struct"))!, member))!.offset;

/** Ranges of physical memory in which two dumps differ, as far as the first one has it. */
async function differences(a: KernelDump, b: KernelDump): Promise<[start: number, end: number][]> {
  const ranges: [number, number][] = [];
  const { dumped } = await a.pages();
  for (let pfn = dumped.next(0); pfn < dumped.pages; pfn = dumped.next(pfn + 1)) {
    const [one, two] = await Promise.all([a.read(pfn * 4096, 4096), b.read(pfn * 4096, 4096)]);
    if (Buffer.compare(one, two) === 0) continue;
    for (let n = 0; n < 4096; n++) {
      if (one[n] === two[n]) continue;
      const at = pfn * 4096 + n;
      const last = ranges.at(-1);
      if (last?.[1] === at) last[1]++;
      else ranges.push([at, at + 1]);
    }
  }
  return ranges;
}

describe("--config", () => {
  it.each(["-d 0", "-l -d 1", "-E -d 31", "-c -d 31"])(
    "%s: overwrites what a symbol holds, and no more",
    async (args) => {
      const rules = "erase linux_banner size 12\nerase saved_command_line\n";
      const { dump } = await erased(rules, args);
      const space = new AddressSpace(dump);
      const banner = types.symbols.get("linux_banner")!;
      expect([...(await space.read(banner, 13))]).toEqual([...new Array<number>(12).fill(X), 0x6e]);
      const line = await space.readU64(types.symbols.get("saved_command_line")!);
      const text = Buffer.from(await space.read(line, 128)).toString("latin1");
      expect(text).toMatch(/^X{20,}\0/);
      const length = text.indexOf("\0");
      expect(dump.eraseinfo).toBe(`erase linux_banner size 12\nerase saved_command_line size ${length}\n`);
      const places = await Promise.all([banner, line].map((it) => space.translate(it)));
      const inside = (await differences(dump, await plain())).filter(([start, end]) =>
        places.every(({ physical }, n) => start < physical || end > physical + [12, length][n]!),
      );
      expect(inside).toEqual([]);
    },
  );

  it("goes through lists, arrays and pointers", async () => {
    const rules = [
      "for t in init_task.tasks.next within task_struct:tasks",
      "  erase t.comm",
      "  erase t.mm nullify",
      "endfor",
    ].join("\n");
    const { dump } = await erased(rules);
    const space = new AddressSpace(dump);
    const [tasks, comm, mm] = await Promise.all(["tasks", "comm", "mm"].map(offsetOf));
    const head = types.symbols.get("init_task")! + BigInt(tasks!);
    let count = 0;
    for (let node = await space.readU64(head); node !== head; node = await space.readU64(node)) {
      const task = node - BigInt(tasks!);
      expect([...(await space.read(task + BigInt(comm!), 16))]).toEqual(new Array(16).fill(X));
      expect(await space.readU64(task + BigInt(mm!))).toBe(0n);
      count++;
    }
    expect(count).toBeGreaterThan(4);
    // The head is no element.
    const idle = await space.read(types.symbols.get("init_task")! + BigInt(comm!), 7);
    expect(Buffer.from(idle).toString("latin1")).toBe("swapper");
    expect(dump.eraseinfo).toBe(
      "erase t.comm size 16\n".repeat(count) + "erase t.mm nullify\n".repeat(count),
    );
  });

  it("keeps a list of what was erased when the dump is filtered again, and adds to it", async () => {
    const first = await run("-l -x /vmlinux --config /rules /vmcore /dump", "erase linux_banner");
    const proc = new FakeProc("makedumpfile -d 31 -x /vmlinux --config /rules /first /second".split(" "));
    proc.directories.add("");
    proc.put("/first", first.files.get("/dump")!);
    proc.put("/vmlinux", vmlinux);
    proc.put("/rules", "erase saved_command_line size 3\n");
    expect(await main(proc), proc.console).toBe(0);
    const again = await openDump([new MemoryBytes("second", proc.files.get("/second")!)]);
    expect(again.eraseinfo).toMatch(/^erase linux_banner size \d+\nerase saved_command_line size 3\n$/);
  });

  it("tells what cannot be followed, and follows the rest", async () => {
    const rules = [
      "erase nobody",
      "erase init_task.nothing.more",
      "erase linux_banner size init_task.comm",
      "for t in init_task.tasks within nobody:tasks",
      "  erase t",
      "endfor",
      "for t in init_task.tasks\nerase t\nendfor",
      "[crasher]",
      "erase crasher_state",
      "[absent]",
      "erase anything",
      "[vmlinux]",
      "erase linux_banner size 2",
    ].join("\n");
    const { dump, said } = await erased(rules);
    const told = said.split("\n").filter((line) => /^\w+: /.test(line));
    expect(told).toEqual([
      "resolve_config_entry: Config error at 1: Can't find symbol 'nobody'.",
      "resolve_config_entry: Config error at 2: struct 'task_struct' has no member with name 'nothing'.",
      "resolve_config_entry: Config error at 3: size symbol/member 'comm' is not of base type.",
      "initialize_iteration_entry: Config error at 4: Can't find structure: nobody.",
      "initialize_iteration_entry: Config error at 7: " +
        "Use 'within' keyword to specify StructName:ListHeadMember.",
      "search_module_debuginfo: Can't get Module debuginfo for module 'crasher'",
      "process_config_file: Skipping to next Module section",
    ]);
    expect(dump.eraseinfo).toBe("erase linux_banner size 2\n");
  });

  it("makes no dump by rules that it cannot read", async () => {
    const {
      status,
      console: said,
      files,
    } = await run("-x /vmlinux --config /rules /vmcore /dump", "erase linux_banner\nerase\n");
    expect([status, files.has("/dump")]).toEqual([1, false]);
    const what = "read_erase_cmd_entry: Config error at 2: expected kernel symbol after 'erase' command.";
    expect(said).toBe(`${what}\n\nmakedumpfile Failed.\n`);
    const absent = await run("-x /vmlinux --config /nowhere /vmcore /dump", "");
    expect(absent.console).toMatch(
      /^process_config_file: Can't open config file\(\/nowhere\)\. No such file/,
    );
  });

  it("needs a vmlinux", async () => {
    const { status, console: said } = await run("--config /rules /vmcore /dump", "erase linux_banner");
    expect([status, said]).toEqual([1, expect.stringMatching(/^Commandline parameter is invalid\./)]);
  });

  it("a list that leads in circles ends", async () => {
    const space = new AddressSpace(await plain());
    const tasks = await offsetOf("tasks");
    const head = types.symbols.get("init_task")! + BigInt(tasks);
    // The second task's list leads back to itself.
    const node = await space.readU64(await space.readU64(head));
    const { physical } = await space.translate(node);
    const { segments } = (await plain()) as unknown as {
      segments: { physical: number; offset: number; fileSize: number; type: number }[];
    };
    const load = segments.find(
      (it) => it.type === 1 && physical >= it.physical && physical < it.physical + it.fileSize,
    )!;
    const damaged = new Uint8Array(core);
    new DataView(damaged.buffer).setBigUint64(load.offset + physical - load.physical, node, true);
    const proc = new FakeProc("makedumpfile -d 31 -x /vmlinux --config /rules /vmcore /dump".split(" "));
    proc.directories.add("");
    proc.put("/vmcore", damaged);
    proc.put("/vmlinux", vmlinux);
    proc.put("/rules", "for t in init_task.tasks within task_struct:tasks\nerase t.comm\nendfor\n");
    expect(await main(proc)).toBe(0);
    expect(proc.console).toContain("Config error at 1: 'init_task.tasks' has no end: it leads in circles.");
  }, 60_000);
});
