/** Stock drgn opens the dump with its vmlinux; its helpers see the kernel's tasks, log, pages and types. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadLayout } from "../../tools/build/specs.ts";
import { type BootDump, bootDump } from "../support/boot.ts";
import { describeStock } from "../support/stock.ts";
import { DEBUGGED } from "./debugged.ts";
import { drgn, loggedTrace } from "./debuggers.ts";

describe.each(DEBUGGED)("drgn on the dump of $name", ({ flags }) => {
  let dump: BootDump;
  beforeAll(() => {
    dump = bootDump(flags);
  });
  afterAll(() => dump?.remove());

  describeStock(["drgn"], "drgn", () => {
    it("finds the crashed thread and unwinds it as the log's call trace has it", () => {
      const found = drgn(
        dump,
        `t = prog.crashed_thread()
trace = t.stack_trace()
print(json.dumps([t.tid, t.object.comm.string_().decode(), [f.name for f in trace], trace[2].source()]))`,
      ) as [number, string, string[], [string, number, number]];
      const [tid, comm, names, source] = found;
      expect(dump.dmesg).toContain(`PID: ${tid} Comm: ${comm} `);
      const known = names.filter((name) => name !== null);
      expect(known.slice(known.indexOf("panic"))).toEqual(loggedTrace(dump.dmesg));
      expect(source[0]).toMatch(/kernel-wasm\/.*\.ts$/);
    });

    it("lists the tasks by both of their ways, and unwinds each sleeping one to its entry", () => {
      const [byPid, byList, idle, traces] = drgn(
        dump,
        `by_pid = sorted(t.pid.value_() for t in for_each_task(prog))
head = prog['init_task'].tasks.address_of_()
by_list = sorted(t.pid.value_() for t in list_for_each_entry('struct task_struct', head, 'tasks'))
crashed = prog.crashed_thread().tid
sleeping = [t for t in for_each_task(prog) if t.pid != crashed and not t.mm]
traces = [[f.name for f in prog.stack_trace(t)] for t in sleeping]
print(json.dumps([by_pid, by_list, idle_task(prog, 0).comm.string_().decode(), traces]))`,
      ) as [number[], number[], string, (string | null)[][]];
      expect(byPid).toEqual(byList);
      expect(byPid.slice(0, 2)).toEqual([1, 2]);
      expect(idle).toBe("swapper/0");
      expect(traces.length).toBeGreaterThan(0);
      for (const trace of traces) {
        expect(trace.slice(0, 2)).toEqual(["__schedule", "schedule"]);
        expect(trace.filter((name) => name !== null).at(-1)).toBe("ret_from_fork");
      }
    });

    it("reads a task", () => {
      const task = drgn(
        dump,
        `t = find_task(prog, 1)
names = [t.comm.string_().decode(), t.parent.comm.string_().decode()]
state = task_state_to_char(find_task(prog, 2))
print(json.dumps([names, t.tgid.value_(), state, task_cpu(t), [a.decode() for a in cmdline(t)]]))`,
      );
      expect(task).toEqual([["init", "swapper/0"], 1, "S", 0, ["/init"]]);
    });

    it("reads the log as vmcore-dmesg does", () => {
      const log = drgn(dump, "print(json.dumps(get_dmesg(prog).decode()))") as string;
      expect(log).toBe(dump.dmesg);
    });

    it("counts the kernel's free pages in mem_map", () => {
      const [free, same] = drgn(
        dump,
        `free = 0
for page in for_each_page(prog):
  try:
    if page.page_type.value_() == 0xffffff7f: free += 1 << page.private.value_()
  except FaultError: pass
address = prog['saved_command_line'].value_()
pfn = page_to_pfn(virt_to_page(prog, address)).value_()
print(json.dumps([free, pfn == virt_to_phys(prog, address).value_() >> 12]))`,
      ) as [number, boolean];
      expect(free).toBe(dump.json.pages.free);
      expect(same).toBe(true);
    });

    it("sees every struct with the layout's sizes and offsets", async () => {
      const layout = await loadLayout("production");
      const wanted: [string, number, [string, number][]][] = [];
      for (const def of layout.decls.structs.values()) {
        if (!def.members) continue;
        const fields = layout.flatFields(def).filter((it) => it.name !== "");
        const offsets = fields.map((it): [string, number] => [it.name, it.offset * 8 + (it.bit?.shift ?? 0)]);
        wanted.push([
          `${def.union ? "union" : "struct"} ${def.name}`,
          layout.structLayout(def).size,
          offsets,
        ]);
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
});
