/** Every struct and union of the kernel, as stock drgn reads it from vmlinux: the layout's offsets. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { loadLayout } from "../../tools/build/specs.ts";
import { type BootDump, bootDump } from "../support/boot.ts";
import { describeStock } from "../support/stock.ts";
import { drgn } from "./debuggers.ts";

describeStock(["drgn"], "types", () => {
  let dump: BootDump;
  beforeAll(() => {
    dump = bootDump(["--memory", "8M", "--append", "crashkernel=1M", "--seed", "1"]);
  });
  afterAll(() => dump?.remove());

  it("sees every struct with the layout's sizes and offsets", async () => {
    const layout = await loadLayout("production");
    const wanted: [string, number, [string, number][]][] = [];
    for (const def of layout.decls.structs.values()) {
      if (!def.members) continue;
      const fields = layout.flatFields(def).filter((it) => it.name !== "");
      const offsets = fields.map((it): [string, number] => [it.name, it.offset * 8 + (it.bit?.shift ?? 0)]);
      wanted.push([`${def.union ? "union" : "struct"} ${def.name}`, layout.structLayout(def).size, offsets]);
    }
    writeFileSync(join(dump.directory, "layout.json"), JSON.stringify(wanted));
    const wrong = drgn(
      dump,
      `wrong = []
for name, size, members in json.load(open(${JSON.stringify(join(dump.directory, "layout.json"))})):
  t = prog.type(name)
  if t.size != size: wrong.append([name, t.size, size])
  for member, offset in members:
    found = t.member(member).bit_offset
    if found != offset: wrong.append([name, member, found, offset])
print(json.dumps(wrong))`,
    );
    expect(wanted.length).toBeGreaterThan(100);
    expect(wrong).toEqual([]);
  });
});
