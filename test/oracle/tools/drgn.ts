/** Stock drgn: each item that its helpers find is the one that the machine had. */
import { expect } from "vitest";
import { DRGN_IMPORTS } from "../debuggers.ts";
import type { Feature, OracleDump, Tool } from "../features.ts";
import { Questions } from "../questions.ts";
import { DUMPS } from "../table.ts";
import { asCrash } from "./crash-and-drgn.ts";
import { settled } from "./said.ts";

const drgn = new Questions(
  () => DRGN_IMPORTS,
  ({ vmcore, vmlinux }) => ["-m", "drgn", "-q", "-c", vmcore, "-s", vmlinux],
);

/** Above that, helpers that look at each page, for each cache too, would take minutes. */
const EACH_PAGE_MAX = 64 << 20;

const features: Feature[] = [];

/** A question whose answer is what `wanted` makes of the truth. */
function item<Answer>(name: string, body: string, wanted: (dump: OracleDump) => Answer): void {
  const ask = drgn.question<Answer>(body);
  features.push({
    name,
    kinds: DUMPS,
    body: (dump) => {
      expect(ask(dump)).toEqual(wanted(dump));
    },
  });
}

item(
  "`for_each_task`: the tasks, their parents, states and CPUs",
  `return [[t.pid.value_(), t.real_parent.tgid.value_(), task_state_to_char(t), task_cpu(t),
  t.comm.string_().decode()] for t in for_each_task(prog)]`,
  ({ truth }) => truth.tasks.map(({ pid, ppid, state, cpu, comm }) => [pid, ppid, state, cpu, comm]),
);

item(
  "`list_for_each_entry`, `threads()`, `find_task`: the same tasks by other ways",
  `head = prog["init_task"].tasks.address_of_()
by_list = sorted(t.pid.value_() for t in list_for_each_entry("struct task_struct", head, "tasks"))
by_idr = [find_task(prog, pid).pid.value_() for pid in by_list]
return [by_list, by_idr, sorted({thread.tid for thread in prog.threads()} - {0})]`,
  ({ truth }) => {
    const pids = truth.tasks.map(({ pid }) => pid);
    return [pids, pids, pids];
  },
);

item(
  "`crashed_thread().stack_trace()`: the chain of the crash",
  `t = prog.crashed_thread()
return [t.tid, prog["crashing_cpu"].value_(), [f.name for f in t.stack_trace() if f.name]]`,
  ({ truth: { crash } }) => [crash.pid, crash.cpu, crash.backtrace],
);

item(
  "`stack_trace(task)`: what each CPU did",
  `return [[f.name for f in prog.stack_trace(per_cpu(prog["runqueues"], cpu).curr) if f.name]
  for cpu in for_each_online_cpu(prog)]`,
  ({ truth }) => truth.cpus.map(({ backtrace }) => backtrace),
);

item(
  "`stack_trace(task)`: the chain of each task that waits",
  `return [[f.name for f in prog.stack_trace(t["pid"]) if f.name] for t in truth["tasks"] if t["backtrace"]]`,
  ({ truth }) => {
    const waiting = truth.tasks.filter(({ backtrace }) => backtrace.length > 0);
    expect(waiting.length).toBeGreaterThan(6);
    // A task that has never run is at the first byte of ret_from_fork; drgn looks at the byte before.
    return waiting.map(({ backtrace }) => (backtrace.length === 1 ? [] : backtrace));
  },
);

item(
  "`for_each_file`: the open files of each task",
  `def path(f):
  return "pipe" if f.f_inode.i_mode.value_() & 0o170000 == 0o010000 else d_path(f.f_path).decode()
opening = ["open", "close", "pipe", "dup2"]
def settled(t):
  return t["kthread"] or t["state"] in "ZX" or (t["files"] and t.get("call") not in opening)
tasks = [find_task(prog, t["pid"]) for t in truth["tasks"] if settled(t)]
return [[{"fd": fd, "path": path(f)} for fd, f in for_each_file(t)] if t.files else [] for t in tasks]`,
  ({ truth }) => settled(truth).map(({ files }) => files),
);

item(
  "`mm_struct`: areas and resident pages of each task",
  `def areas(mm):
  area = mm.mmap
  while area:
    rights = "".join(c if area.vm_flags.value_() >> i & 1 else "-" for i, c in enumerate("rwx"))
    path = d_path(area.vm_file.f_path).decode() if area.vm_file else None
    yield [area.vm_start.value_(), area.vm_end.value_(), rights, path]
    area = area.vm_next
FILE, ANONYMOUS = 0, 1
def rss(mm): return sum(mm.rss_stat.count[n].counter.value_() for n in [FILE, ANONYMOUS])
return [[rss(t.mm), list(areas(t.mm))] if t.mm else [0, []] for t in for_each_task(prog)]`,
  ({ truth }) =>
    truth.tasks.map(({ rss, maps }) => [
      rss,
      maps.map(({ start, end, rights, path }) => [start, end, rights, path ?? null]),
    ]),
);

item("`get_dmesg`: the log", "return get_dmesg(prog).decode()", ({ dmesg }) => dmesg);

item(
  "`for_each_page`: free pages",
  `blocks = [0] * len(truth["pages"]["free_blocks"])
if truth["memory"] <= ${EACH_PAGE_MAX}:
  for page in for_each_page(prog):
    try:
      if page.page_type.value_() == 0xffffff7f: blocks[page.private.value_()] += 1
    except FaultError: pass
  return blocks
# Page by page of mem_map: object by object would take a minute.
SIZE, PER_PAGE = prog.type("struct page").size, 4096 // prog.type("struct page").size
TYPE, PRIVATE = [prog.type("struct page").member(name).offset for name in ["page_type", "private"]]
for pfn in range(0, prog["max_pfn"].value_(), PER_PAGE):
  try: pages = prog.read(pfn_to_page(prog, pfn).value_(), 4096)
  except FaultError: continue
  for at in range(0, 4096, SIZE):
    if pages[at + TYPE:at + TYPE + 4] == b"\\x7f\\xff\\xff\\xff": blocks[pages[at + PRIVATE]] += 1
return blocks`,
  ({ truth }) => truth.pages.free_blocks,
);

item(
  "`slab_cache_for_each_allocated_object`: the objects of each cache",
  `small = truth["memory"] <= ${EACH_PAGE_MAX}
caches = for_each_slab_cache(prog) if small else [find_slab_cache(prog, "task_struct")]
return [[c.name.string_().decode(), c.object_size.value_(),
  sum(1 for o in slab_cache_for_each_allocated_object(c, "void"))] for c in caches]`,
  ({ truth }) =>
    truth.slabs
      .filter(({ name }) => truth.memory <= EACH_PAGE_MAX || name === "task_struct")
      .map(({ name, object_size, active }) => [name, object_size, active]),
);

item(
  "`for_each_mount`",
  `return [{"type": mount_fstype(m).decode(), "device": mount_src(m).decode(),
  "path": mount_dst(m).decode()} for m in for_each_mount(prog["init_task"].nsproxy.mnt_ns)]`,
  ({ truth }) => truth.mounts,
);

item(
  "`modules` by `list_for_each_entry`",
  `modules = list_for_each_entry("struct module", prog["modules"].address_of_(), "list")
return [{"name": m.name.string_().decode(), "size": m.core_layout.size.value_()} for m in modules]`,
  ({ truth }) => truth.modules,
);

item(
  "per-CPU data: the running task, who waits for the CPU, the idle task; online CPUs, nodes",
  `def queue(cpu):
  root = per_cpu(prog["runqueues"], cpu).cfs.tasks_timeline.rb_root
  entries = rbtree_inorder_for_each_entry("struct sched_entity", root.address_of_(), "run_node")
  return [container_of(e, "struct task_struct", "se").pid.value_() for e in entries]
return [[[cpu, per_cpu(prog["runqueues"], cpu).curr.pid.value_(), queue(cpu),
  idle_task(prog, cpu).comm.string_().decode()] for cpu in for_each_online_cpu(prog)],
  list(for_each_online_node(prog))]`,
  ({ truth }) => [truth.cpus.map(({ cpu, pid, queue }) => [cpu, pid, queue, `swapper/${cpu}`]), [0]],
);

item(
  "`identify_address`, `slab_object_info`: each task is an object in use",
  `from drgn.helpers.common import identify_address
infos = [slab_object_info(t) for t in for_each_task(prog)]
return [identify_address(prog, prog.symbol("panic").address),
  [identify_address(t) for t in for_each_task(prog)],
  [i.slab_cache.name.string_().decode() for i in infos if i.allocated]]`,
  ({ truth: { tasks } }) => [
    "function symbol: panic+0x0",
    tasks.map(() => "slab object: task_struct+0x0"),
    tasks.map(() => "task_struct"),
  ],
);

item(
  "`virt_to_phys`, `phys_to_virt`, `virt_to_page`, `decode_page_flags`",
  `address = prog["saved_command_line"].value_()
physical = virt_to_phys(prog, address)
page = virt_to_page(prog, address)
return [physical.value_() == address - 0xffff888000000000, phys_to_virt(prog, physical).value_() == address,
  page_to_pfn(page).value_() == physical.value_() >> 12,
  decode_page_flags(page), prog["saved_command_line"].string_().decode()]`,
  ({ truth }) => [true, true, true, "PG_reserved", truth.cmdline],
);

const user = drgn.question<unknown>(`task = find_task(prog, 1)
first = task.mm.mmap
try: return [[[a.decode() for a in cmdline(task)], [e.decode() for e in environ(task)]],
  access_remote_vm(task.mm, first.vm_start, 16).decode()]
except FaultError as e: return str(e)`);
features.push({
  name: "`cmdline`, `environ`, `access_remote_vm`: user pages",
  kinds: DUMPS,
  body: (dump) => {
    const dropped = dump.kind === "-d 31";
    // Words of the command line that nobody in the kernel knows are init's environment.
    const unknown = dump.truth.cmdline.split(" ").filter((word) => word.startsWith("modules_load="));
    const environment = ["HOME=/", "TERM=linux", ...unknown];
    if (dropped) expect(user(dump)).toMatch(/excluded|not mapped|could not read/i);
    else expect(user(dump)).toEqual([[["/init"], environment], "#!program init\n\0"]);
    return dropped ? "dropped" : undefined;
  },
});

export const DRGN: Tool = { name: "drgn", needs: ["drgn"], features: [...features, ...asCrash(drgn)] };
