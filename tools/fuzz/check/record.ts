/**
 * A crashed kernel against the host's own record (record.ts): the same tasks with the same parents, programs,
 * heaps and open files, and the same names in the root file system.
 */
import {
  constants,
  dentry as dentryLayout,
  fdtable,
  file as fileLayout,
  files_struct,
  fs_struct,
  inode,
  mm_struct,
  mount,
  path as pathLayout,
  pt_regs,
  qstr,
  sigaction,
  sighand_struct,
  task_struct,
} from "../../../build/generated/offsets.ts";
import { type CrashedKernel, hex, Inconsistency } from "../../crashed/kernel.ts";
import { type MachineRecord, type OpenFile, OWN_DIRECTORIES, type TaskRecord } from "../record.ts";
import { type Guard, type Part, rwlock, spinlock, strict } from "./in-flight.ts";
import { taskList } from "./tasks.ts";

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;
const KINDS = new Map([
  [S_IFREG, "file"],
  [S_IFDIR, "directory"],
  [S_IFLNK, "link"],
]);
const NAME_MAX = 256;
const DEPTH_MAX = 100;

/** Who makes a task, ends it, buries it, or gives it another program. */
const CHANGES_TASKS =
  /^(copy_process|kernel_clone|wake_up_new_task|do_exit|release_task|exit_notify|forget_original_parent)$/;
const CHANGES_PROGRAMS = /^(begin_new_exec|do_exit|copy_process|exec_binprm|bprm_execve)$/;
const CHANGES_NAMES =
  /^(d_add|d_move|d_delete|d_instantiate|__d_lookup|d_alloc|dput|__dentry_kill|simple_unlink)$/;

/**
 * What is wrong is an Inconsistency. `killed` tells whom the OOM killer has taken; `part` what the operations
 * under way excuse, nothing without it.
 */
export function checkRecord(
  kernel: CrashedKernel,
  record: MachineRecord,
  killed: (pid: number) => boolean,
  part: Part = strict,
): void {
  const lists: Guard = {
    what: "recorded tasks",
    locks: [rwlock(kernel.symbol("tasklist_lock"))],
    functions: CHANGES_TASKS,
  };
  const single: Guard = { what: "a recorded task", functions: CHANGES_PROGRAMS };
  let tasks: Tasks = new Map();
  let known = new Map<number | undefined, TaskRecord>();
  part(lists, () => {
    tasks = userTasks(kernel);
    identify(kernel, record, tasks);
    known = new Map([...record.tasks].map((task) => [task.pid, task]));
    for (const [pid, at] of tasks) {
      if (!known.has(pid)) throw new Inconsistency(`task ${pid} (${comm(kernel, at)}) was made by nobody`);
    }
    let lost = record.unknownReaps;
    for (const task of record.tasks) {
      const at = tasks.get(task.pid as number);
      if (at !== undefined) settle(kernel, record, task, at);
      else if (!mayBeGone(kernel, tasks, task, killed) && lost-- === 0) {
        throw new Inconsistency(`task ${task.pid ?? "of unknown number"} (${task.comm}) is gone`);
      }
    }
  });
  const moving = movingFiles(record);
  for (const [pid, at] of tasks) {
    const task = known.get(pid);
    if (task === undefined) continue;
    part(single, () => checkTask(kernel, task, at, killed, moving));
    part(lists, () => checkParent(kernel, record, tasks, task));
  }
  const names: Guard = {
    what: "names",
    locks: [spinlock(kernel.symbol("dcache_lock"))],
    functions: CHANGES_NAMES,
  };
  part(names, () => checkNames(kernel, record));
}

/** Physical addresses by number. */
type Tasks = ReadonlyMap<number, number>;

/** Those that run or ran a program, by number. */
export function userTasks(kernel: CrashedKernel): Map<number, number> {
  const all = taskList(kernel);
  const isUser = (at: number): boolean => (kernel.u32(at + task_struct.flags) & constants.PF_KTHREAD) === 0;
  return new Map([...all].filter(([, at]) => isUser(at)));
}

function comm(kernel: CrashedKernel, at: number): string {
  return kernel.text(at + task_struct.comm, constants.TASK_COMM_LEN);
}

function pidOf(kernel: CrashedKernel, at: number): number {
  return kernel.s32(at + task_struct.pid);
}

/** The registers of a task's program, on its kernel stack; undefined when that is gone. */
function userRegs(kernel: CrashedKernel, at: number): number | undefined {
  const stack = kernel.pointer(at + task_struct.stack);
  return stack === 0 ? undefined : stack + constants.THREAD_SIZE - pt_regs.SIZE;
}

/**
 * Children whose parents have not come back from clone get the numbers that are left: first those that have
 * begun, by their continuation; then those whose parent lives and has such a child, then orphans. A clone
 * that has not come so far has no child.
 */
function identify(kernel: CrashedKernel, record: MachineRecord, tasks: Tasks): void {
  const named = new Set([...record.tasks].map(({ pid }) => pid));
  const left = new Map([...tasks].filter(([pid]) => !named.has(pid)));
  for (const [pid, at] of left) {
    const regs = userRegs(kernel, at);
    const task = regs === undefined ? undefined : record.ofContinuation(kernel.u32(regs + pt_regs.bx));
    // A child that has not begun has its parent's, who is the older of the two.
    if (task === undefined || task.pid !== undefined) continue;
    task.pid = pid;
    left.delete(pid);
  }
  // Those that have begun, and were not found by that, are dead.
  const unnamed = [...record.tasks].filter(({ pid }) => pid === undefined);
  unnamed.sort((a, b) => Number(b.begun) - Number(a.begun));
  const parentOf = ({ parent }: TaskRecord): number | undefined => {
    // The number of a dead parent may be another task's by now.
    const at = parent !== undefined && record.tasks.has(parent) ? tasks.get(parent.pid ?? 0) : undefined;
    return at === undefined || isDead(kernel, at) ? undefined : at;
  };
  for (const orphans of [false, true]) {
    for (const task of unnamed) {
      const parent = parentOf(task);
      if (task.pid !== undefined || (parent === undefined) !== orphans) continue;
      for (const [pid, at] of left) {
        if (task.begun && !isDead(kernel, at)) continue;
        const real = kernel.pointer(at + task_struct.real_parent);
        if (orphans ? pidOf(kernel, real) !== 1 : real !== parent) continue;
        task.pid = pid;
        left.delete(pid);
        break;
      }
    }
  }
  for (const task of unnamed) if (task.pid === undefined) record.tasks.delete(task);
}

/** Dead, or on the way there: its files are closed, its children are init's. */
function isEnding(kernel: CrashedKernel, at: number): boolean {
  return isDead(kernel, at) || (kernel.u32(at + task_struct.flags) & constants.PF_EXITING) !== 0;
}

function isDead(kernel: CrashedKernel, at: number): boolean {
  return kernel.u32(at + task_struct.exit_state) !== 0;
}

/**
 * A call whose result stands in the registers has ended, though its program has not heard of it. Of execve
 * another program will hear, which has not begun.
 */
function settle(kernel: CrashedKernel, record: MachineRecord, task: TaskRecord, at: number): void {
  const regs = userRegs(kernel, at);
  if (task.call === undefined || task.call.nr === EXECVE || regs === undefined) return;
  if (kernel.s64(regs + pt_regs.orig_ax) !== -1) return;
  // A signal has come in between: the call is made again, or its result lies on the user's stack.
  if (kernel.u64(regs + pt_regs.ip) !== constants.USER_SYSCALL_RETURN) return;
  record.onResult(task.call, kernel.s64(regs + pt_regs.ax), undefined);
}

/** A child that nobody has to wait for. */
function mayBeGone(
  kernel: CrashedKernel,
  tasks: Tasks,
  task: TaskRecord,
  killed: (pid: number) => boolean,
): boolean {
  if (!mayBeDead(task, killed)) return false;
  const { parent } = task;
  if (parent === undefined) return false;
  const at = tasks.get(parent.pid as number);
  // With its parent dead it is init's to wait for, who may be about to say so.
  const reaper = at === undefined || isDead(kernel, at) ? initOf(parent) : parent;
  // A parent that was killed in its wait may have reaped it before.
  const waits = under(parent, [WAIT4]) || under(reaper, [WAIT4]);
  return parent.ignoresChildren || reaper.ignoresChildren || waits;
}

/** Whether it is in one of these calls: its last, or one that a handler has interrupted. */
function under({ call, interrupted }: TaskRecord, numbers: readonly number[]): boolean {
  return [call, ...interrupted].some((made) => made !== undefined && numbers.includes(made.nr));
}

const EXECVE = 59;
const WAIT4 = 61;
const WRITE = 1;

function initOf(task: TaskRecord): TaskRecord {
  let at = task;
  while (at.parent !== undefined) at = at.parent;
  return at;
}

function mayBeDead(task: TaskRecord, killed: (pid: number) => boolean): boolean {
  // A write may end in SIGPIPE, or in an oops.
  return task.exiting || task.signalled || under(task, [WRITE]) || killed(task.pid as number);
}

function checkTask(
  kernel: CrashedKernel,
  task: TaskRecord,
  at: number,
  killed: (pid: number) => boolean,
  moving: ReadonlySet<OpenFile>,
): void {
  const what = `task ${task.pid} (${task.comm})`;
  const dead = isDead(kernel, at);
  if (dead && !mayBeDead(task, killed)) throw new Inconsistency(`${what} is dead, and nobody ended it`);
  // One that has called exit_group may not have got round to it; one that was killed in its execve may have
  // the name of a program that never began.
  const ending = isEnding(kernel, at) || task.exiting;
  // The new program has its name before it begins.
  if (!ending && task.call?.nr !== EXECVE && comm(kernel, at) !== task.comm)
    throw new Inconsistency(`${what} calls itself ${comm(kernel, at)}`);
  if (ending) return;
  const state = kernel.u32(at + task_struct.__state);
  if (task.call === undefined && state !== 0 && !task.signalled) {
    throw new Inconsistency(`${what} is in no system call, and its state is ${hex(state)}`);
  }
  const mm = kernel.pointer(at + task_struct.mm);
  if (mm === 0) throw new Inconsistency(`${what} has no address space`);
  const brk = kernel.u64(mm + mm_struct.brk);
  const unsettled = under(task, CALLS_ON_HEAPS);
  if (!unsettled && task.brk !== undefined && brk !== task.brk) {
    throw new Inconsistency(`${what}: its heap ends at ${hex(brk)}, it was told ${hex(task.brk)}`);
  }
  if (!task.filesUnknown) checkFiles(kernel, task, at, what, moving);
  if (!under(task, CALLS_ON_ACTIONS)) checkActions(kernel, task, at, what);
}

/** What the kernel would do about each signal: the default, nothing, or a handler. */
function checkActions(kernel: CrashedKernel, task: TaskRecord, at: number, what: string): void {
  const sighand = kernel.pointer(at + task_struct.sighand);
  for (let signal = 1; signal <= constants._NSIG; signal++) {
    const action = sighand + sighand_struct.action + (signal - 1) * sigaction.SIZE;
    const found = kernel.u64(action + sigaction.sa_handler);
    const { handler = 0, flags = 0 } = task.actions.get(signal) ?? {};
    // Its handler may be about to run for the only time.
    if (found === handler || (found === 0 && (flags & constants.SA_RESETHAND) !== 0)) continue;
    throw new Inconsistency(`${what}: signal ${signal} has the action ${hex(found)}, it was ${hex(handler)}`);
  }
}

/** Its maker while that lives, and then init. */
function checkParent(kernel: CrashedKernel, record: MachineRecord, tasks: Tasks, task: TaskRecord): void {
  const { parent, pid } = task;
  if (parent === undefined) return;
  const at = tasks.get(pid as number) as number;
  const found = pidOf(kernel, kernel.pointer(at + task_struct.real_parent));
  // The number of a dead maker may be another task's by now.
  const maker = record.tasks.has(parent) ? tasks.get(parent.pid as number) : undefined;
  const wanted = maker === undefined || isEnding(kernel, maker) ? 1 : parent.pid;
  if (found !== wanted) {
    throw new Inconsistency(
      `task ${pid} (${task.comm}) is the child of ${found}, and should be of ${wanted}`,
    );
  }
}

/** brk and execve. */
const CALLS_ON_HEAPS: readonly number[] = [12, 59];
/** rt_sigaction, and execve. */
const CALLS_ON_ACTIONS: readonly number[] = [13, 59];
/** Calls that make or close descriptors: one under way may have done so. */
const CALLS_ON_FILES: readonly number[] = [2, 3, 22, 32, 33, EXECVE, 257, 293];
/** Calls that move positions. */
const CALLS_THAT_MOVE: readonly number[] = [0, 1, 8, 326];

/** Files whose positions calls under way may have moved. */
function movingFiles(record: MachineRecord): Set<OpenFile> {
  const moving = new Set<OpenFile>();
  for (const { call, interrupted, files } of record.tasks) {
    for (const made of [call, ...interrupted]) {
      if (made === undefined || !CALLS_THAT_MOVE.includes(made.nr)) continue;
      for (const fd of made.args.slice(0, 3)) {
        const known = files.get(fd);
        if (known !== undefined) moving.add(known.file);
      }
    }
  }
  return moving;
}

function checkFiles(
  kernel: CrashedKernel,
  task: TaskRecord,
  at: number,
  what: string,
  moving: ReadonlySet<OpenFile>,
): void {
  if (under(task, CALLS_ON_FILES)) return;
  const files = kernel.pointer(at + task_struct.files);
  const table = kernel.pointer(files + files_struct.fdt);
  const fds = kernel.pointer(table + fdtable.fd);
  const max = kernel.u32(table + fdtable.max_fds);
  const open = new Map<number, number>();
  for (let fd = 0; fd < max; fd++) {
    const file = kernel.pointer(fds + fd * 8);
    if (file !== 0) open.set(fd, file);
  }
  for (const fd of task.files.keys()) {
    if (!open.has(fd)) throw new Inconsistency(`${what}: descriptor ${fd} is open, the kernel has none`);
  }
  for (const [fd, file] of open) {
    const known = task.files.get(fd);
    if (known === undefined) throw new Inconsistency(`${what}: descriptor ${fd} was opened by nobody`);
    checkFile(kernel, known.file, file, `${what}: descriptor ${fd}`, moving.has(known.file));
  }
}

function checkFile(
  kernel: CrashedKernel,
  { path, position }: OpenFile,
  at: number,
  what: string,
  moving: boolean,
): void {
  if (path !== undefined) {
    const found = pathOf(kernel, at + fileLayout.f_path);
    if (found !== path) throw new Inconsistency(`${what} is ${path}, the kernel says ${found}`);
  }
  const mode = kernel.u16(kernel.pointer(at + fileLayout.f_inode) + inode.i_mode);
  if (position === undefined || moving || (mode & S_IFMT) !== S_IFREG) return;
  const found = kernel.u64(at + fileLayout.f_pos);
  if (found !== position) throw new Inconsistency(`${what} is at ${position}, the kernel says ${found}`);
}

/** What d_path() would say. */
export function pathOf(kernel: CrashedKernel, at: number): string {
  let dentry = kernel.pointer(at + pathLayout.dentry);
  let mnt = kernel.pointer(at + pathLayout.mnt) - mount.mnt;
  let text = "";
  for (let depth = 0; depth < DEPTH_MAX; depth++) {
    const parent = kernel.pointer(dentry + dentryLayout.d_parent);
    if (parent === dentry) {
      const above = kernel.pointer(mnt + mount.mnt_parent);
      if (above === mnt || above === 0) return text === "" ? "/" : text;
      dentry = kernel.pointer(mnt + mount.mnt_mountpoint);
      mnt = above;
    } else {
      text = `/${nameOf(kernel, dentry)}${text}`;
      dentry = parent;
    }
  }
  throw new Inconsistency(`the dentry at ${hex(dentry)} has no root`);
}

function nameOf(kernel: CrashedKernel, dentry: number): string {
  return kernel.text(kernel.pointer(dentry + dentryLayout.d_name + qstr.name), NAME_MAX);
}

interface Entry {
  mode: number;
  size: number;
}

/** Everything in the root file system that has a name, by its path; the file systems on it left out. */
function tree(kernel: CrashedKernel): Map<string, Entry> {
  const init = kernel.pointer(kernel.symbol("init_task") + task_struct.tasks) - task_struct.tasks;
  const fs = kernel.pointer(init + task_struct.fs);
  const found = new Map<string, Entry>();
  const visit = (dentry: number, path: string, depth: number): void => {
    if (depth > DEPTH_MAX) throw new Inconsistency(`${path}: directories without end`);
    const head = dentry + dentryLayout.d_subdirs;
    for (const entry of kernel.list(head, `the entries of ${path}/`)) {
      const child = entry - dentryLayout.d_child;
      const node = kernel.pointer(child + dentryLayout.d_inode);
      // A name that was looked up in vain.
      if (node === 0) continue;
      const name = `${path}/${nameOf(kernel, child)}`;
      found.set(name, { mode: kernel.u16(node + inode.i_mode), size: kernel.u64(node + inode.i_size) });
      visit(child, name, depth + 1);
    }
  };
  visit(kernel.pointer(fs + fs_struct.root + pathLayout.dentry), "", 0);
  return found;
}

/** Calls that change names: until they end nobody knows which there are. */
const CALLS_ON_NAMES: readonly number[] = [2, 82, 83, 84, 87, 88, 257, 316];

function checkNames(kernel: CrashedKernel, record: MachineRecord): void {
  for (const { call } of record.tasks) if (call && CALLS_ON_NAMES.includes(call.nr)) return;
  const found = tree(kernel);
  for (const [path, node] of record.names) {
    const entry = found.get(path);
    if (node === null && entry !== undefined) throw new Inconsistency(`${path} was removed, and is there`);
    if (node === null || node.kind === undefined) continue;
    if (entry === undefined) throw new Inconsistency(`${path} is gone`);
    const kind = KINDS.get(entry.mode & S_IFMT);
    if (kind !== node.kind)
      throw new Inconsistency(`${path} is a ${kind ?? hex(entry.mode)}, not a ${node.kind}`);
    if (kind === "file" && node.size !== undefined && node.size !== entry.size) {
      throw new Inconsistency(`${path} has ${entry.size} bytes, ${node.size} were written`);
    }
  }
  for (const path of found.keys()) {
    if (!OWN_DIRECTORIES.some((directory) => path.startsWith(directory))) continue;
    if (!record.names.get(path)) throw new Inconsistency(`${path} was made by nobody`);
  }
}
