/** Stock libkdumpfile on dumps of all kinds: attributes, VMCOREINFO, registers, and which pages it reads. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { run } from "../support/stock.ts";
import { Features, type OracleDump } from "./features.ts";
import { DUMPS } from "./table.ts";

const PYTHON = "/usr/bin/python3";
const PAGE = 4096;
const DIRECT_MAP = "0xffff888000000000";

/** What a script prints as JSON, with `c` the opened dump and `a` its attributes. */
function ask(dump: OracleDump, script: string): unknown {
  const file = join(dump.directory, "ask.py");
  const start = `import json
from kdumpfile import kdumpfile, KDUMP_KVADDR, KDUMP_MACHPHYSADDR
from kdumpfile.exceptions import *
c = kdumpfile(${JSON.stringify(dump.vmcore)})
a = c.attr
a["addrxlat.ostype"] = "linux"
`;
  writeFileSync(file, `${start}${script}\n`);
  const { status, stdout, stderr } = run(PYTHON, [file]);
  expect([status, stderr]).toEqual([0, ""]);
  return JSON.parse(stdout);
}

const features = new Features("libkdumpfile");
features.tests(["libkdumpfile"], () => {
  features.feature("attributes: format, architecture, release, CPUs", DUMPS, (dump) => {
    const names = ["file.format", "arch.name", "arch.page_size", "cpu.number", "linux.uts.release"];
    const format = dump.kind === "ELF" ? "elf" : "diskdump";
    const { OSRELEASE } = dump.truth.vmcoreinfo;
    const wanted = [format, "x86_64", PAGE, dump.truth.cpus.length, OSRELEASE];
    expect(ask(dump, `print(json.dumps([a[n] for n in ${JSON.stringify(names)}]))`)).toEqual(wanted);
  });

  features.feature("VMCOREINFO, line by line", DUMPS, (dump) => {
    const script = `print(json.dumps(bytes(a["linux.vmcoreinfo.raw"]).decode()))`;
    const lines = Object.entries(dump.truth.vmcoreinfo).map(([name, value]) => `${name}=${value}\n`);
    expect((ask(dump, script) as string).replace(/\0+$/, "")).toBe(lines.join(""));
  });

  features.feature("registers: each CPU's task", DUMPS, (dump) => {
    const cpus = dump.truth.cpus.map(({ cpu }) => cpu);
    const script = `print(json.dumps([a["cpu.%d.pid" % n] for n in ${JSON.stringify(cpus)}]))`;
    expect(ask(dump, script)).toEqual(dump.truth.cpus.map(({ pid }) => pid));
  });

  features.feature("virtual addresses: kernel image, direct map, memory map", DUMPS, (dump) => {
    const script = `banner = a["linux.vmcoreinfo.SYMBOL.init_uts_ns"]
image = bytes(c.read(KDUMP_KVADDR, banner, 390))
direct = bytes(c.read(KDUMP_KVADDR, ${DIRECT_MAP} + banner - 0xffffffff80000000, 390))
page = c.read(KDUMP_KVADDR, 0xffffea0000000000 + 64 * (banner - 0xffffffff80000000 >> 12), 8)
release = ${JSON.stringify(dump.truth.vmcoreinfo.OSRELEASE)}.encode()
print(json.dumps([image == direct, release in image, len(page)]))`;
    expect(ask(dump, script)).toEqual([true, true, 8]);
  });

  features.feature("physical pages: those that the level keeps", DUMPS, (dump) => {
    const script = `read = 0
for start, end in ${JSON.stringify(dump.truth.ranges.map(({ start, end }) => [start, end]))}:
  for at in range(start, end, ${PAGE}):
    try:
      c.read(KDUMP_MACHPHYSADDR, at, 8)
      read += 1
    except NoDataException: pass
print(json.dumps(read))`;
    const { levels, total } = dump.truth.pages;
    // Of pages of zeros a compressed dump has one, which stands for all.
    const { left, zero } = levels[Number(dump.kind.slice(3))] ?? { left: total, zero: 0 };
    expect(ask(dump, script)).toBe(dump.kind === "ELF" ? total : left + zero);
  });
});
