/** Tasks: the task list, the pid idr, family ties, kernel stacks, open files and the run queue agree. */
import {
  cfs_rq,
  constants,
  fdtable,
  file as fileLayout,
  files_struct,
  idr,
  pid_namespace,
  pid as pidLayout,
  rq,
  sched_entity,
  task_struct,
  upid,
  xarray,
} from "../../../build/generated/offsets.ts";
import { type CrashedKernel, hex, Inconsistency } from "../../crashed/kernel.ts";
import { type Guard, type Part, rwlock, spinlock, strict } from "./in-flight.ts";

const STACK_END_MAGIC = 0x57ac6e9d;

/** All tasks but the idle ones: physical addresses by number. */
export function taskList(kernel: CrashedKernel): Map<number, number> {
  const tasks = new Map<number, number>();
  const head = kernel.symbol("init_task") + task_struct.tasks;
  for (const entry of kernel.list(head, "task list")) {
    const at = entry - task_struct.tasks;
    const pid = kernel.s32(at + task_struct.pid);
    if (tasks.has(pid)) throw new Inconsistency(`two tasks have number ${pid}`);
    tasks.set(pid, at);
  }
  return tasks;
}

function checkIdr(kernel: CrashedKernel, tasks: ReadonlyMap<number, number>): void {
  const namespace = kernel.symbol("init_pid_ns");
  const found = new Set<number>();
  for (const [number, at] of kernel.xarray(namespace + pid_namespace.idr + idr.idr_rt + xarray.xa_head)) {
    const nr = kernel.s32(at + pidLayout.numbers + upid.nr);
    if (nr !== number) throw new Inconsistency(`struct pid ${nr} stands at ${number} of the idr`);
    found.add(number);
    const task = tasks.get(number);
    if (task === undefined) continue;
    if (kernel.pointer(task + task_struct.thread_pid) !== at) {
      throw new Inconsistency(`task ${number} does not know its struct pid`);
    }
  }
  for (const number of tasks.keys()) {
    if (!found.has(number)) throw new Inconsistency(`task ${number} is not in the pid idr`);
  }
  const threads = kernel.s32(kernel.symbol("nr_threads"));
  if (threads !== tasks.size) throw new Inconsistency(`${tasks.size} tasks, nr_threads says ${threads}`);
}

function checkFamily(kernel: CrashedKernel, tasks: ReadonlyMap<number, number>): void {
  let children = 0;
  for (const parent of [kernel.symbol("init_task"), ...tasks.values()]) {
    for (const entry of kernel.list(parent + task_struct.children, "children")) {
      const child = entry - task_struct.sibling;
      if (kernel.pointer(child + task_struct.real_parent) !== parent) {
        throw new Inconsistency(`task at ${hex(child)} is the child of another`);
      }
      children++;
    }
  }
  if (children !== tasks.size) throw new Inconsistency(`${tasks.size} tasks, ${children} of them children`);
}

function checkStack(kernel: CrashedKernel, pid: number, task: number): void {
  const stack = kernel.pointer(task + task_struct.stack);
  // A zombie has given it back.
  if (stack === 0 && kernel.u32(task + task_struct.exit_state) !== 0) return;
  if (stack === 0 || stack % constants.THREAD_SIZE !== 0) {
    throw new Inconsistency(`task ${pid}: its stack is at ${hex(stack)}`);
  }
  if (kernel.u32(stack) !== STACK_END_MAGIC) {
    throw new Inconsistency(`task ${pid}: the end of its stack was overwritten`);
  }
}

/** Open files, with how many descriptors lead to each. */
function checkFiles(kernel: CrashedKernel, tasks: ReadonlyMap<number, number>, part: Part): void {
  const seen = new Set<number>();
  const references = new Map<number, number>();
  for (const [pid, task] of tasks) {
    const files = kernel.pointer(task + task_struct.files);
    if (files === 0 || seen.has(files)) continue;
    seen.add(files);
    part(guardOfFiles(kernel, files), () => checkTable(kernel, pid, files, references));
  }
  for (const [file, count] of references) {
    part({ what: "files", functions: CHANGES_COUNTS }, () => {
      const counted = kernel.u64(file + fileLayout.f_count);
      if (counted < count) {
        throw new Inconsistency(`file at ${hex(file)} has ${count} descriptors, f_count says ${counted}`);
      }
    });
  }
}

function checkTable(
  kernel: CrashedKernel,
  pid: number,
  files: number,
  references: Map<number, number>,
): void {
  const table = kernel.pointer(files + files_struct.fdt);
  const bits = kernel.pointer(table + fdtable.open_fds);
  const fds = kernel.pointer(table + fdtable.fd);
  const max = kernel.u32(table + fdtable.max_fds);
  for (let fd = 0; fd < max; fd++) {
    const open = ((kernel.u32(bits + (fd >> 5) * 4) >>> (fd & 31)) & 1) === 1;
    const file = kernel.pointer(fds + fd * 8);
    if (open !== (file !== 0)) throw new Inconsistency(`task ${pid}: descriptor ${fd} and open_fds differ`);
    if (file !== 0) references.set(file, (references.get(file) ?? 0) + 1);
  }
}

/** Calls that have a descriptor before they have its file, or still have it: by the CPUs that run with it. */
const CHANGES_TABLES =
  /^(do_sys_openat2|do_pipe2|close_fd|ksys_dup3?|do_close_on_exec|put_files_struct|dup_fd|exit_files)$/;
const CHANGES_COUNTS = /^(dup_fd|put_files_struct|ksys_dup3?)$/;

function guardOfFiles(kernel: CrashedKernel, files: number): Guard {
  const cpus = kernel.onlineCpus.filter((cpu) => {
    const current = kernel.pointer(kernel.percpu("current_task", cpu));
    return kernel.pointer(current + task_struct.files) === files;
  });
  return { what: "files", functions: CHANGES_TABLES, cpus };
}

/** The task of a CPU, the queued tasks that say they are its, and their weights. */
function checkRunQueue(kernel: CrashedKernel, tasks: ReadonlyMap<number, number>, cpu: number): void {
  const name = `CPU ${cpu}`;
  const queue = kernel.percpu("runqueues", cpu);
  const current = kernel.pointer(kernel.percpu("current_task", cpu));
  const curr = kernel.pointer(queue + rq.curr);
  if (curr !== current) {
    throw new Inconsistency(`${name}: the run queue's curr is ${hex(curr)}, current_task ${hex(current)}`);
  }
  const idle = kernel.pointer(queue + rq.idle);
  if (current !== idle && tasks.get(kernel.s32(current + task_struct.pid)) !== current) {
    throw new Inconsistency(`${name}: its current task at ${hex(current)} is no task`);
  }
  if (kernel.u32(current + task_struct.cpu) !== cpu) {
    const says = kernel.u32(current + task_struct.cpu);
    throw new Inconsistency(`${name}: its current task says that it runs on CPU ${says}`);
  }
  let queued = 0;
  let weight = 0;
  for (const task of tasks.values()) {
    if (kernel.s32(task + task_struct.on_rq) === 0 || kernel.u32(task + task_struct.cpu) !== cpu) continue;
    queued++;
    weight += kernel.u64(task + task_struct.se + sched_entity.load);
  }
  const running = kernel.u32(queue + rq.nr_running);
  if (running !== queued) {
    throw new Inconsistency(`${name}: ${queued} tasks are queued, nr_running says ${running}`);
  }
  const load = kernel.u64(queue + rq.cfs + cfs_rq.load);
  if (load !== weight) {
    throw new Inconsistency(`${name}: the queued tasks weigh ${weight}, the run queue says ${load}`);
  }
}

/** A task that is queued, or runs, does so on a CPU that is there. */
function checkPlaces(kernel: CrashedKernel, tasks: ReadonlyMap<number, number>): void {
  const cpus = kernel.u32(kernel.symbol("nr_cpu_ids"));
  for (const [pid, task] of tasks) {
    const cpu = kernel.u32(task + task_struct.cpu);
    const active = kernel.s32(task + task_struct.on_rq) !== 0 || kernel.s32(task + task_struct.on_cpu) !== 0;
    if (active && cpu >= cpus) throw new Inconsistency(`task ${pid} is on CPU ${cpu} of ${cpus}`);
  }
}

/** Processes that the host knows of are there, whether they live or wait to be waited for. */
export function checkExist(kernel: CrashedKernel, children: ReadonlySet<number>, part: Part = strict): void {
  part(guardOfTasks(kernel), () => {
    const tasks = taskList(kernel);
    for (const pid of children) {
      if (!tasks.has(pid)) throw new Inconsistency(`process ${pid} was never waited for, and is gone`);
    }
  });
}

/** Who makes a task, or buries one. */
const CHANGES_TASKS = /^(copy_process|release_task|exit_notify|forget_original_parent|free_pid|alloc_pid)$/;
const CHANGES_STACKS = /^(copy_process|dup_task_struct|finish_task_switch|put_task_stack)$/;
const CHANGES_QUEUES = /^(__schedule|schedule_idle|finish_task_switch|schedule_tail|newidle_balance)$/;

function guardOfTasks(kernel: CrashedKernel): Guard {
  const locks = [rwlock(kernel.symbol("tasklist_lock")), spinlock(kernel.symbol("pidmap_lock"))];
  return { what: "tasks", locks, functions: CHANGES_TASKS };
}

/** `part`: what the operations under way excuse; nothing without it. */
export function checkTasks(kernel: CrashedKernel, part: Part = strict): void {
  let tasks = new Map<number, number>();
  part(guardOfTasks(kernel), () => {
    tasks = taskList(kernel);
    checkIdr(kernel, tasks);
    checkFamily(kernel, tasks);
  });
  for (const [pid, task] of tasks) {
    part({ what: "stacks", functions: CHANGES_STACKS }, () => checkStack(kernel, pid, task));
  }
  checkFiles(kernel, tasks, part);
  const cpus = kernel.onlineCpus;
  if (cpus.length === 0) throw new Inconsistency("no CPU is online");
  checkPlaces(kernel, tasks);
  for (const cpu of cpus) {
    const guard: Guard = {
      what: "run queues",
      locks: [spinlock(kernel.percpu("runqueues", cpu) + rq.__lock)],
      functions: CHANGES_QUEUES,
      cpus: [cpu],
    };
    part(guard, () => checkRunQueue(kernel, tasks, cpu));
  }
}
