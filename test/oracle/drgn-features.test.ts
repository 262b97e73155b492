/** Stock drgn on dumps of all kinds: each item that its helpers find is the one that the machine had. */
import { expect } from "vitest";
import type { BootDump } from "../support/boot.ts";
import { drgn } from "./debuggers.ts";
import { Features, type OracleDump } from "./features.ts";
import { DUMPS } from "./table.ts";

const ask = (dump: OracleDump, script: string): unknown => {
  const json = { vmlinux: dump.vmlinux } as BootDump["json"];
  return drgn({ ...dump, json, remove: () => {} }, script);
};

const features = new Features("drgn");
features.tests(["drgn"], () => {
  features.feature("`for_each_task`: the tasks and their states", DUMPS, (dump) => {
    const script = `print(json.dumps([[t.pid.value_(), t.real_parent.tgid.value_(), task_state_to_char(t),
  t.comm.string_().decode()] for t in for_each_task(prog)]))`;
    const wanted = dump.truth.tasks.map(({ pid, ppid, state, comm }) => [pid, ppid, state, comm]);
    expect(ask(dump, script)).toEqual(wanted);
  });

  features.feature("`crashed_thread().stack_trace()`: the chain of the crash", DUMPS, (dump) => {
    const script = `t = prog.crashed_thread()
print(json.dumps([t.tid, [f.name for f in t.stack_trace() if f.name]]))`;
    expect(ask(dump, script)).toEqual([dump.truth.crash.pid, dump.truth.crash.backtrace]);
  });

  features.feature("`stack_trace(task)`: the chain of each task that waits", DUMPS, (dump) => {
    const waiting = dump.truth.tasks.filter(({ backtrace }) => backtrace.length > 0);
    const script = `print(json.dumps([[f.name for f in prog.stack_trace(pid) if f.name]
  for pid in ${JSON.stringify(waiting.map(({ pid }) => pid))}]))`;
    // A task that has never run is at the first byte of ret_from_fork; drgn looks at the byte before.
    const wanted = waiting.map(({ backtrace }) => (backtrace.length === 1 ? [] : backtrace));
    expect(ask(dump, script)).toEqual(wanted);
  });

  features.feature("`for_each_file`: the open files of each task", DUMPS, (dump) => {
    const script = `def path(f):
  return "pipe" if f.f_inode.i_mode.value_() & 0o170000 == 0o010000 else d_path(f.f_path).decode()
print(json.dumps([[{"fd": fd, "path": path(f)} for fd, f in for_each_file(t)] if t.files else []
  for t in for_each_task(prog)]))`;
    expect(ask(dump, script)).toEqual(dump.truth.tasks.map(({ files }) => files));
  });

  features.feature("`get_dmesg`: the log", DUMPS, (dump) => {
    expect(ask(dump, "print(json.dumps(get_dmesg(prog).decode()))")).toBe(dump.dmesg);
  });

  features.feature("`for_each_page`: free pages", DUMPS, (dump) => {
    const script = `blocks = [0] * ${dump.truth.pages.free_blocks.length}
for page in for_each_page(prog):
  try:
    if page.page_type.value_() == 0xffffff7f: blocks[page.private.value_()] += 1
  except FaultError: pass
print(json.dumps(blocks))`;
    expect(ask(dump, script)).toEqual(dump.truth.pages.free_blocks);
  });

  features.feature("`slab_cache_for_each_allocated_object`: the objects of each cache", DUMPS, (dump) => {
    const script = `print(json.dumps([[c.name.string_().decode(), c.object_size.value_(),
  sum(1 for o in slab_cache_for_each_allocated_object(c, "void"))] for c in for_each_slab_cache(prog)]))`;
    const wanted = dump.truth.slabs.map(({ name, object_size, active }) => [name, object_size, active]);
    expect(ask(dump, script)).toEqual(wanted);
  });

  features.feature("`for_each_mount`", DUMPS, (dump) => {
    const script = `print(json.dumps([{"type": mount_fstype(m).decode(), "device": mount_src(m).decode(),
  "path": mount_dst(m).decode()} for m in for_each_mount(prog["init_task"].nsproxy.mnt_ns)]))`;
    expect(ask(dump, script)).toEqual(dump.truth.mounts);
  });

  features.feature("`modules` by `list_for_each_entry`", DUMPS, (dump) => {
    const script = `modules = list_for_each_entry("struct module", prog["modules"].address_of_(), "list")
print(json.dumps([{"name": m.name.string_().decode(), "size": m.core_layout.size.value_()}
  for m in modules]))`;
    expect(ask(dump, script)).toEqual(dump.truth.modules);
  });

  features.feature("per-CPU data, online CPUs, nodes", DUMPS, (dump) => {
    const script = `cpus = list(for_each_online_cpu(prog))
print(json.dumps([[[cpu, per_cpu(prog["runqueues"], cpu).curr.pid.value_(), idle_task(prog, cpu).pid.value_()]
  for cpu in cpus], list(for_each_online_node(prog))]))`;
    expect(ask(dump, script)).toEqual([dump.truth.cpus.map(({ cpu, pid }) => [cpu, pid, 0]), [0]]);
  });

  features.feature("`identify_address`, `slab_object_info`: a task is an object in use", DUMPS, (dump) => {
    const script = `from drgn.helpers.common import identify_address
t = find_task(prog, 1)
info = slab_object_info(t)
panic = prog.symbol("panic").address
print(json.dumps([identify_address(t), identify_address(prog, panic), info.allocated]))`;
    expect(ask(dump, script)).toEqual(["slab object: task_struct+0x0", "function symbol: panic+0x0", true]);
  });

  features.feature("`virt_to_phys`, `phys_to_virt`, `virt_to_page`, `decode_page_flags`", DUMPS, (dump) => {
    const script = `address = prog["saved_command_line"].value_()
physical = virt_to_phys(prog, address)
page = virt_to_page(prog, address)
print(json.dumps([physical.value_() == address - 0xffff888000000000,
  phys_to_virt(prog, physical).value_() == address,
  page_to_pfn(page).value_() == physical.value_() >> 12,
  decode_page_flags(page), prog["saved_command_line"].string_().decode()]))`;
    expect(ask(dump, script)).toEqual([true, true, true, "PG_reserved", dump.truth.cmdline]);
  });

  features.feature("`cmdline`: a user page", DUMPS, (dump) => {
    const script = `try: print(json.dumps([a.decode() for a in cmdline(find_task(prog, 1))]))
except FaultError as e: print(json.dumps(str(e)))`;
    const answer = ask(dump, script);
    if (dump.kind !== "-d 31") expect(answer).toEqual(["/init"]);
    else expect(answer).toMatch(/excluded|not mapped|could not read/i);
    return dump.kind === "-d 31" ? "dropped" : undefined;
  });
});
