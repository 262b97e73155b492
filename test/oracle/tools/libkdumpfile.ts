/** Stock libkdumpfile: attributes, VMCOREINFO, registers, and which pages it reads. */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { MemoryBytes } from "../../../tools/dump/bytes.ts";
import { ElfCore } from "../../../tools/dump/elf.ts";
import { readPrstatus } from "../../../tools/dump/notes.ts";
import type { Feature, OracleDump, Tool } from "../features.ts";
import { Questions } from "../questions.ts";
import { DUMPS } from "../table.ts";

const PAGE = 4096;
const NOTES_MAX = 1 << 20;

/** `c` is the opened dump, `a` its attributes. */
const kdumpfile = new Questions(
  ({ vmcore }) => `import json
from kdumpfile import kdumpfile, KDUMP_KVADDR, KDUMP_MACHPHYSADDR
from kdumpfile.exceptions import *
c = kdumpfile(${JSON.stringify(vmcore)})
a = c.attr
a["addrxlat.ostype"] = "linux"`,
);

const features: Feature[] = [];

/** A question whose answer is what `wanted` makes of the truth. */
function item<Answer>(
  name: string,
  body: string,
  wanted: (dump: OracleDump) => Answer | Promise<Answer>,
): void {
  const ask = kdumpfile.question<Answer>(body);
  features.push({
    name,
    kinds: DUMPS,
    body: async (dump) => {
      expect(ask(dump)).toEqual(await wanted(dump));
    },
  });
}

item(
  "attributes: format, architecture, release, CPUs",
  `return [a[n] for n in ["file.format", "arch.name", "arch.page_size", "cpu.number", "linux.uts.release"]]`,
  ({ kind, truth }) => {
    const format = kind === "ELF" ? "elf" : "diskdump";
    return [format, "x86_64", PAGE, truth.cpus.length, truth.vmcoreinfo.OSRELEASE];
  },
);

item(
  "VMCOREINFO, line by line",
  `return bytes(a["linux.vmcoreinfo.raw"]).decode().rstrip("\\0")`,
  ({ truth }) =>
    Object.entries(truth.vmcoreinfo)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(""),
);

item(
  "registers: each CPU's task, where it was and its stack",
  `names = ["pid", "reg.rip", "reg.rsp", "reg.rbp"]
return [["%x" % a["cpu.%d.%s" % (c["cpu"], n)] for n in names] for c in truth["cpus"]]`,
  async ({ truth, whole }) => {
    const head = readFileSync(whole.vmcore).subarray(0, NOTES_MAX);
    const core = await ElfCore.open(new MemoryBytes(whole.vmcore, head));
    const notes = core.notes.map(readPrstatus).filter((note) => note !== null);
    return truth.cpus.map(({ cpu, pid }) => {
      const { ip, sp, bp } = notes[cpu]!.registers;
      return [BigInt(pid), ip, sp, bp].map((it) => it.toString(16));
    });
  },
);

item(
  "virtual addresses: kernel image, direct map, memory map",
  `banner = a["linux.vmcoreinfo.SYMBOL.init_uts_ns"]
image = bytes(c.read(KDUMP_KVADDR, banner, 390))
direct = bytes(c.read(KDUMP_KVADDR, 0xffff888000000000 + banner - 0xffffffff80000000, 390))
page = c.read(KDUMP_KVADDR, 0xffffea0000000000 + 64 * (banner - 0xffffffff80000000 >> 12), 8)
return [image == direct, truth["vmcoreinfo"]["OSRELEASE"].encode() in image, len(page)]`,
  () => [true, true, 8],
);

item(
  "physical pages: those that the level keeps",
  `read = 0
for r in truth["ranges"]:
  for at in range(r["start"], r["end"], ${PAGE}):
    try:
      c.read(KDUMP_MACHPHYSADDR, at, 8)
      read += 1
    except NoDataException: pass
return read`,
  ({ kind, truth: { pages } }) => {
    if (kind === "ELF") return pages.total;
    // Of pages of zeros a compressed dump has one, which stands for all.
    const { left, zero } = pages.levels[Number(kind.slice(3))]!;
    return left + zero;
  },
);

export const LIBKDUMPFILE: Tool = { name: "libkdumpfile", needs: ["libkdumpfile"], features };
