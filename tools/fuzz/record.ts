/**
 * The host's own record of a machine: tasks, their parents, open files, heaps and the names in the file
 * system, kept from what passes between programs and the kernel, never from the kernel's memory.
 * `MachineRecord` is a Tracer; check/record.ts holds the crashed kernel against it.
 */
import type { SystemCall, Tracer, UserMemory } from "../../runtime/index.ts";
import { syscall } from "../../runtime/machine/x86.ts";
import {
  O_APPEND,
  O_CREAT,
  O_EXCL,
  O_TRUNC,
  SA_NOCLDWAIT,
  SA_RESETHAND,
  SIGCHLD,
} from "../../runtime/user/proc.ts";

const O_CLOEXEC = 0o2000000;
const PATH_MAX = 4096;
const COMM_MAX = 15;
const STATUS_STOPPED = 0x7f;
const SIG_DFL = 0;
const SIG_IGN = 1;
const SIGNAL_MAX = 64;
const EXIT = 60;
const OPENAT = 257;
const RMDIR = 84;

/** Directories that begin empty: what is there, a program has made. */
export const OWN_DIRECTORIES = ["/root/", "/tmp/"];

/** What a name stands for. */
export interface Node {
  /** undefined: it was there before. */
  kind: "file" | "directory" | "link" | undefined;
  /** Bytes; undefined when it is not known from what was written. */
  size: number | undefined;
}

/** An open file, by whatever descriptors. */
export interface OpenFile {
  /** As it was opened; undefined for a pipe. */
  path: string | undefined;
  node: Node | undefined;
  /** undefined: not known. */
  position: number | undefined;
  append: boolean;
}

interface Descriptor {
  file: OpenFile;
  closeOnExec: boolean;
}

export interface SignalAction {
  /** SIG_IGN, or where its handler lies. */
  handler: number;
  /** SA_*. */
  flags: number;
}

export interface TaskRecord {
  /** undefined: its parent has not been told yet. */
  pid: number | undefined;
  parent: TaskRecord | undefined;
  /** It has a continuation. */
  begun: boolean;
  /** The name of its program's file. */
  comm: string;
  files: Map<number, Descriptor>;
  /** A call about descriptors has left something that cannot be known. */
  filesUnknown: boolean;
  /** The end of its heap; undefined: not heard of. */
  brk: number | undefined;
  /** It has called exit. */
  exiting: boolean;
  /** A signal may have ended or stopped it. */
  signalled: boolean;
  ignoresChildren: boolean;
  /** The call that it has not come back from. */
  call: SystemCall | undefined;
  /** Those that handlers have interrupted, the innermost last. */
  interrupted: (SystemCall | undefined)[];
  /** What it does about signals, as far as that is not the default. */
  actions: Map<number, SignalAction>;
}

/** The text at a user address; undefined when there is none. */
function text(memory: UserMemory, address: number): string | undefined {
  try {
    return memory.string(address, PATH_MAX);
  } catch {
    return undefined;
  }
}

function word(memory: UserMemory, address: number): number | undefined {
  try {
    return memory.u64(address);
  } catch {
    return undefined;
  }
}

export class MachineRecord implements Tracer {
  /** Tasks that nobody has waited for, in the order of their making. */
  readonly tasks = new Set<TaskRecord>();
  /** What programs have made, renamed and removed, by absolute name; null: removed. */
  readonly names = new Map<string, Node | null>();
  /** Children that were waited for, and nobody knows which. */
  unknownReaps = 0;
  /** How many calls there were. */
  calls = 0;
  readonly #byContinuation = new Map<number, TaskRecord>();
  /** Children that have not begun, by the address of their function. */
  readonly #unborn = new Map<number, TaskRecord>();
  /** What a call under way is about: the child of a clone, the text that a pointer led to. */
  readonly #children = new Map<SystemCall, TaskRecord>();
  readonly #texts = new Map<SystemCall, readonly (string | undefined)[]>();

  onStart(continuation: number, origin: Parameters<Tracer["onStart"]>[1]): void {
    if ("interrupted" in origin) {
      this.#handler(continuation, origin.interrupted, origin.signal);
      return;
    }
    if ("placed" in origin) {
      const child = this.#unborn.get(origin.placed);
      if (child === undefined) return;
      this.#unborn.delete(origin.placed);
      child.begun = true;
      this.#byContinuation.set(continuation, child);
      return;
    }
    const task = this.#byContinuation.get(origin.former);
    if (task === undefined) {
      const init = newTask("init", undefined);
      init.pid = 1;
      // The kernel has opened the console for it.
      const file = { path: "/dev/console", node: undefined, position: undefined, append: false };
      for (const fd of [0, 1, 2]) init.files.set(fd, { file, closeOnExec: false });
      this.tasks.add(init);
      this.#byContinuation.set(continuation, init);
      return;
    }
    this.#byContinuation.delete(origin.former);
    this.#byContinuation.set(continuation, task);
    const [path] = (task.call && this.#texts.get(task.call)) ?? [];
    if (path !== undefined) task.comm = (path.split("/").at(-1) as string).slice(0, COMM_MAX);
    task.brk = undefined;
    task.call = undefined;
    task.interrupted = [];
    for (const [signal, { handler }] of task.actions) {
      if (handler === SIG_IGN) task.actions.set(signal, { handler, flags: 0 });
      else task.actions.delete(signal);
    }
    for (const [fd, { closeOnExec }] of task.files) if (closeOnExec) task.files.delete(fd);
  }

  /** A handler goes on top of a continuation; until it returns, its calls are the task's. */
  #handler(continuation: number, interrupted: number, signal: number): void {
    const task = this.#byContinuation.get(interrupted);
    // A child that has not begun: nothing is known of it yet, nor of what its handler does.
    if (task === undefined) return;
    this.#byContinuation.set(continuation, task);
    task.interrupted.push(task.call);
    task.call = undefined;
    if (((task.actions.get(signal)?.flags ?? 0) & SA_RESETHAND) !== 0) task.actions.delete(signal);
  }

  /** The task that has this continuation. */
  ofContinuation(continuation: number): TaskRecord | undefined {
    return this.#byContinuation.get(continuation);
  }

  onCall(call: SystemCall, memory: UserMemory): void {
    this.calls++;
    const task = this.#byContinuation.get(call.rbx);
    if (task === undefined) return;
    task.call = call;
    const [a = 0, b = 0, c = 0, d = 0] = call.args;
    switch (call.nr) {
      case syscall.clone: {
        const child = newTask(task.comm, task);
        for (const [fd, descriptor] of task.files) child.files.set(fd, { ...descriptor });
        child.filesUnknown = task.filesUnknown;
        child.brk = task.brk;
        child.ignoresChildren = task.ignoresChildren;
        child.actions = new Map(task.actions);
        this.#children.set(call, child);
        this.tasks.add(child);
        const placed = b === 0 ? undefined : word(memory, b);
        if (placed !== undefined) this.#unborn.set(placed, child);
        return;
      }
      case syscall.open:
      case syscall.mkdir:
      case syscall.unlink:
      case syscall.execve:
      case RMDIR:
        this.#texts.set(call, [text(memory, a)]);
        return;
      case OPENAT:
        this.#texts.set(call, [text(memory, b)]);
        return;
      case syscall.rename:
      case syscall.symlink:
        this.#texts.set(call, [text(memory, a), text(memory, b)]);
        return;
      case syscall.renameat2:
        this.#texts.set(call, [text(memory, b), text(memory, d)]);
        return;
      case syscall.write:
      case syscall.copy_file_range:
        // How much of it the kernel has done is not known until it says so.
        this.#touch(task.files.get(call.nr === syscall.write ? a : c)?.file);
        return;
      case syscall.rt_sigreturn:
        task.call = task.interrupted.pop();
        return;
      case syscall.rt_sigaction:
        this.#actions.set(call, b === 0 ? undefined : signalAction(memory, b));
        return;
      case syscall.alarm:
      case syscall.setitimer:
        // SIGALRM may end it.
        task.signalled = true;
        return;
      case syscall.exit_group:
      case EXIT:
        task.exiting = true;
        task.call = undefined;
        return;
      case syscall.kill:
        this.#signal(a | 0, b);
    }
  }

  /** `memory` is undefined where the caller's cannot be read. */
  onResult(call: SystemCall, result: number, memory: UserMemory | undefined): void {
    const task = this.#byContinuation.get(call.rbx);
    if (task === undefined) return;
    task.call = undefined;
    const texts = this.#texts.get(call) ?? [];
    this.#texts.delete(call);
    const child = this.#children.get(call);
    this.#children.delete(call);
    if (child !== undefined) this.#cloned(child, result);
    else if (call.nr === syscall.wait4) this.#waited(call, result, memory);
    else if (call.nr === syscall.brk) task.brk = result;
    else if (result < 0) this.#failed(task, call);
    else this.#done(task, call, result, texts, memory);
  }

  #cloned(child: TaskRecord, result: number): void {
    if (result > 0) child.pid = result;
    else this.tasks.delete(child);
  }

  /** What rt_sigaction is given. */
  readonly #actions = new Map<SystemCall, SignalAction | undefined>();

  /** A signal under way may end its target before the sender is back. */
  #signal(pid: number, signal: number): void {
    if (signal < 1 || signal > SIGNAL_MAX) return;
    for (const task of this.tasks) if (pid <= 0 || task.pid === pid) task.signalled = true;
  }

  #waited({ args }: SystemCall, result: number, memory: UserMemory | undefined): void {
    const EFAULT = 14;
    const address = args[1] ?? 0;
    if (result === -EFAULT) this.unknownReaps++;
    if (result <= 0) return;
    const status = memory === undefined || address === 0 ? 0 : (word(memory, address) ?? 0);
    if ((status & 0xff) === STATUS_STOPPED) return;
    const found = [...this.tasks].find(({ pid }) => pid === result);
    // One whose number nobody was told: its parent has died in the clone.
    if (found === undefined) this.unknownReaps++;
    else this.tasks.delete(found);
    this.#reaped = { pid: result, parent: found?.parent?.pid };
  }

  #reaped: { pid: number; parent: number | undefined } | undefined;

  /** Whether the process that was waited for last was not made by init. */
  wasAdopted(pid: number): boolean {
    return this.#reaped?.pid === pid && this.#reaped.parent !== 1;
  }

  #failed(task: TaskRecord, { nr, args }: SystemCall): void {
    // Some of it may have been written before.
    if (nr === syscall.write) this.#lose(task.files.get(args[0] ?? -1)?.file);
    if (nr === syscall.copy_file_range) {
      this.#lose(task.files.get(args[0] ?? -1)?.file);
      this.#lose(task.files.get(args[2] ?? -1)?.file);
    }
  }

  #done(
    task: TaskRecord,
    call: SystemCall,
    result: number,
    texts: readonly (string | undefined)[],
    memory: UserMemory | undefined,
  ): void {
    const { nr, args } = call;
    const [a = 0, b = 0, c = 0] = args;
    const [path, other] = texts;
    const file = task.files.get(a)?.file;
    switch (nr) {
      case syscall.open:
        this.#opened(task, result, path, b);
        return;
      case OPENAT:
        this.#opened(task, result, path, c);
        return;
      case syscall.close:
        task.files.delete(a);
        return;
      case syscall.dup:
      case syscall.dup2:
        if (result === a) return;
        if (file === undefined) task.filesUnknown = true;
        else task.files.set(result, { file, closeOnExec: false });
        return;
      case syscall.pipe:
      case syscall.pipe2: {
        const both = memory === undefined ? undefined : word(memory, a);
        if (both === undefined) {
          task.filesUnknown = true;
          return;
        }
        const closeOnExec = nr === syscall.pipe2 && (b & O_CLOEXEC) !== 0;
        for (const fd of [both % 2 ** 32, Math.floor(both / 2 ** 32)]) {
          const end = { path: undefined, node: undefined, position: undefined, append: false };
          task.files.set(fd, { file: end, closeOnExec });
        }
        return;
      }
      case syscall.read:
        this.#move(file, result);
        return;
      case syscall.write:
        this.#wrote(file, result);
        return;
      case syscall.copy_file_range:
        this.#move(file, result);
        this.#wrote(task.files.get(c)?.file, result);
        return;
      case syscall.lseek:
        if (file !== undefined) file.position = result;
        return;
      case syscall.mkdir:
        this.#name(path, { kind: "directory", size: undefined });
        return;
      case syscall.symlink:
        this.#name(other, { kind: "link", size: undefined });
        return;
      case syscall.unlink:
      case RMDIR:
        this.#name(path, null);
        return;
      case syscall.rename:
      case syscall.renameat2:
        this.#renamed(path, other);
        return;
      case syscall.rt_sigaction: {
        const action = this.#actions.get(call);
        this.#actions.delete(call);
        if (action === undefined) return;
        if (a === SIGCHLD) {
          task.ignoresChildren = action.handler === SIG_IGN || (action.flags & SA_NOCLDWAIT) !== 0;
        }
        if (action.handler === SIG_DFL) task.actions.delete(a);
        else task.actions.set(a, action);
        return;
      }
    }
  }

  #opened(task: TaskRecord, fd: number, path: string | undefined, flags: number): void {
    const own = path !== undefined && OWN_DIRECTORIES.some((directory) => path.startsWith(directory));
    const known = path === undefined ? undefined : (this.names.get(path) ?? (own ? null : undefined));
    // What was there already may be as long as it wants.
    const created = (flags & O_CREAT) !== 0 && ((flags & O_EXCL) !== 0 || known === null);
    const made: Node = created ? { kind: "file", size: 0 } : { kind: undefined, size: undefined };
    const node = (created ? undefined : known) ?? made;
    if ((flags & O_TRUNC) !== 0) node.size = 0;
    if (path !== undefined) this.names.set(path, node);
    const append = (flags & O_APPEND) !== 0;
    const file: OpenFile = { path, node, position: 0, append };
    task.files.set(fd, { file, closeOnExec: (flags & O_CLOEXEC) !== 0 });
  }

  #move(file: OpenFile | undefined, bytes: number): void {
    if (file?.position !== undefined) file.position += bytes;
  }

  /** The sizes that writes under way may change are those of before them until they end. */
  readonly #touched = new Map<OpenFile, number | undefined>();

  #touch(file: OpenFile | undefined): void {
    if (file?.node === undefined) return;
    this.#touched.set(file, file.node.size);
    file.node.size = undefined;
  }

  #lose(file: OpenFile | undefined): void {
    if (file === undefined) return;
    this.#touched.delete(file);
    file.position = undefined;
    if (file.node !== undefined) file.node.size = undefined;
  }

  #wrote(file: OpenFile | undefined, bytes: number): void {
    if (file === undefined) return;
    const before = this.#touched.get(file);
    this.#touched.delete(file);
    if (file.append) file.position = before === undefined ? undefined : before + bytes;
    else this.#move(file, bytes);
    const { node, position } = file;
    if (node === undefined) return;
    const known = before !== undefined && position !== undefined;
    node.size = known ? Math.max(before, bytes > 0 ? position : 0) : undefined;
  }

  #name(path: string | undefined, node: Node | null): void {
    if (path !== undefined) this.names.set(path, node);
  }

  #renamed(from: string | undefined, to: string | undefined): void {
    if (from === undefined || to === undefined || from === to) return;
    const node = this.names.get(from) ?? { kind: undefined, size: undefined };
    for (const { files } of this.tasks) {
      for (const { file } of files.values()) if (file.path === from && file.node === node) file.path = to;
    }
    this.names.set(from, null);
    this.names.set(to, node);
  }
}

/** The struct sigaction at a user address; undefined when there is none. */
function signalAction(memory: UserMemory, address: number): SignalAction | undefined {
  const handler = word(memory, address);
  const flags = word(memory, address + 8);
  return handler === undefined || flags === undefined ? undefined : { handler, flags: flags >>> 0 };
}

function newTask(comm: string, parent: TaskRecord | undefined): TaskRecord {
  return {
    pid: undefined,
    parent,
    begun: parent === undefined,
    comm,
    files: new Map(),
    filesUnknown: false,
    brk: undefined,
    exiting: false,
    signalled: false,
    ignoresChildren: false,
    call: undefined,
    interrupted: [],
    actions: new Map(),
  };
}
