/**
 * Runs a component on a thread of its own, and answers what it asks: about the dump, and for the output. It
 * can do nothing else, and not more than the limits allow.
 */
import type { Host, HostThread } from "../../runtime/adapter/host.ts";
import { AddressSpace } from "../dump/address-space.ts";
import { kdumpImage } from "../dump/describe.ts";
import { DumpError, hex } from "../dump/error.ts";
import type { KernelDump } from "../dump/memory-source.ts";
import type { ByteSink } from "../dump/sink.ts";
import { formatSize } from "../size.ts";
import { checkComponent } from "./check.ts";
import { CollectorError, lineOf } from "./error.ts";
import { PageStates } from "./pages.ts";
import { Channel, type Description, END, type Job, type Letter, OP, PIECE, STATE, WORD } from "./protocol.ts";

/** build/collector.js and build/bindgen.js. */
export interface CollectorPrograms {
  thread: URL;
  bindgen: URL;
}

export interface Limits {
  time_s: number;
  /** Bytes of the output, the holes in it too. */
  output: number;
  /** Bytes of the component's memory. */
  memory: number;
}

export const TIME_LIMIT_s = 600;
export const MEMORY_LIMIT = 256 * 1024 * 1024;
/** What an output may have beside the memory that is dumped. */
const OUTPUT_EXTRA = 16 * 1024 * 1024;

/** Room for all that is in the dump, whatever a collector puts around it. */
export async function outputLimit(dump: KernelDump): Promise<number> {
  const held = await dump.held();
  return held + Math.ceil(held / 8) + OUTPUT_EXTRA;
}

/** How long the main thread sleeps before it looks at the time and at what else there is. */
const WAIT_ms = 50;
const LEVEL_MAX = 31;

export interface Run {
  component: Uint8Array;
  args: readonly string[];
  dump: KernelDump;
  sink: ByteSink;
  limits: Limits;
  /** Told of the component's progress. */
  progress(done: bigint, total: bigint): Promise<void>;
}

/** Throws CollectorError when these bytes are no component that could be run within the memory. */
export async function checkCollector(
  host: Host,
  programs: CollectorPrograms,
  component: Uint8Array,
  memory = MEMORY_LIMIT,
): Promise<void> {
  const checked = checkComponent(component);
  const thread = new CollectorThread(host, programs, TIME_LIMIT_s);
  try {
    await thread.prepare({ component: checked, memory, run: null });
  } finally {
    thread.end();
  }
}

/**
 * What the component says at its end. Throws CollectorError when it fails or is stopped, DumpError when the
 * dump does, and the sink's errors.
 */
export async function runCollector(host: Host, programs: CollectorPrograms, run: Run): Promise<string> {
  const component = checkComponent(run.component);
  const channel = new Channel();
  const description = await describe(run.dump);
  const thread = new CollectorThread(host, programs, run.limits.time_s);
  try {
    const { args, limits } = run;
    await thread.prepare({
      component,
      memory: limits.memory,
      run: { args, description, shared: channel.shared },
    });
    return await serve(thread, channel, new Service(run, channel), host);
  } finally {
    thread.end();
  }
}

async function describe(dump: KernelDump): Promise<Description> {
  try {
    const { exist } = await dump.pages();
    const image = await kdumpImage(dump, 0);
    return {
      tag: "ok",
      val: {
        pageSize: image.pageSize,
        endPage: BigInt(exist.pages),
        machine: dump.machine,
        utsname: image.utsname,
        seconds: image.timestamp.seconds,
        microseconds: image.timestamp.microseconds,
        cpus: image.nrCpus,
        physBase: BigInt.asUintN(64, image.physBase),
        dumpLevel: image.dumpLevel,
        vmcoreinfo: dump.vmcoreinfo.text,
        notes: image.notes.slice(),
        vmcoreinfoOffset: image.vmcoreinfo.offset,
        vmcoreinfoSize: image.vmcoreinfo.size,
      },
    };
  } catch (error) {
    if (!(error instanceof DumpError)) throw error;
    return { tag: "err", val: error.message };
  }
}

/** The thread, until its time is over. */
class CollectorThread {
  private readonly thread: HostThread;
  private readonly deadline_ms: number;
  private letter: (letter: Letter) => void = () => {};
  /** It died of what it could not catch. */
  private died: string | null = null;

  constructor(
    private readonly host: Host,
    private readonly programs: CollectorPrograms,
    private readonly time_s: number,
  ) {
    this.deadline_ms = host.monotonic_ms() + time_s * 1000;
    this.thread = host.startThread(programs.thread, {
      onMessage: (message) => this.letter(message as Letter),
      onError: (error) => {
        this.died = lineOf(String((error as Error)?.message ?? error));
        this.letter({ op: "wrong", text: `its thread ended: ${this.died}` });
      },
    });
  }

  async prepare(job: Omit<Job, "bindgen">): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const letter = await new Promise<Letter | null>((resolve) => {
      this.letter = resolve;
      timer = setTimeout(() => resolve(null), Math.max(0, this.deadline_ms - this.host.monotonic_ms()));
      this.thread.post({ ...job, bindgen: this.programs.bindgen.href });
    });
    clearTimeout(timer);
    if (letter === null) this.late();
    if (letter?.op === "wrong") throw new CollectorError(letter.text);
  }

  /** Throws when it must be waited for no longer. */
  check(): void {
    if (this.died !== null) throw new CollectorError(`its thread ended: ${this.died}`);
    if (this.host.monotonic_ms() > this.deadline_ms) this.late();
  }

  end(): void {
    this.thread.hold(false);
    this.thread.terminate();
  }

  private late(): never {
    throw new CollectorError(`it took longer than ${this.time_s} s, the time limit`);
  }
}

async function serve(
  thread: CollectorThread,
  channel: Channel,
  service: Service,
  host: Host,
): Promise<string> {
  const { words } = channel;
  for (;;) {
    const state = Atomics.load(words, WORD.state);
    if (state === STATE.ended) break;
    thread.check();
    if (state === STATE.asks) {
      await service.answer();
      Atomics.store(words, WORD.state, STATE.running);
      Atomics.notify(words, WORD.state);
    } else if (Atomics.wait(words, WORD.state, STATE.running, WAIT_ms) === "timed-out") await host.turn();
  }
  const text = lineOf(channel.text(channel.get(WORD.length)));
  const end = channel.get(WORD.error);
  if (end === END.error) throw new CollectorError(text);
  if (end === END.trap) throw new CollectorError(`it trapped: ${text}`);
  return text;
}

/** Answers one question after another. */
class Service {
  private readonly space: () => AddressSpace;
  private states: PageStates | null = null;

  constructor(
    private readonly run: Run,
    private readonly channel: Channel,
  ) {
    let space: AddressSpace | null = null;
    this.space = () => (space ??= new AddressSpace(run.dump));
  }

  /** What cannot be read is an error for the component; what cannot be written, or must not, ends the run. */
  async answer(): Promise<void> {
    const { channel } = this;
    try {
      const length = await this.ask(channel.get(WORD.op));
      channel.put(WORD.error, 0);
      channel.put(WORD.length, length);
    } catch (error) {
      if (!(error instanceof DumpError || error instanceof Refused)) throw error;
      const length = channel.putText(error.message);
      channel.put(WORD.error, 1);
      channel.put(WORD.length, length);
    }
  }

  private async ask(op: number): Promise<number> {
    const { channel, run } = this;
    const a = channel.get64(WORD.a);
    switch (op) {
      case OP.readPhysical:
        return this.read((length, into) => run.dump.read(Number(a), length, into));
      case OP.readVirtual:
        return this.read((length) => this.space().read(a, length));
      case OP.readPages:
        return this.readPages(channel.get(WORD.a));
      case OP.pageStates:
        return this.pageStates(channel.get(WORD.c), Number(a), channel.get(WORD.b));
      case OP.write:
        await this.write(Number(a), channel.get(WORD.b));
        return 0;
      default:
        await run.progress(a, channel.get64(WORD.b));
        return 0;
    }
  }

  private async read(read: (length: number, into: Uint8Array) => Promise<Uint8Array>): Promise<number> {
    const length = this.channel.get(WORD.b);
    if (length > PIECE) throw new Refused(`a read of ${length} bytes: 1 MiB is the most`);
    await this.fill(0, length, (into) => read(length, into));
    return length;
  }

  /** Has a part of the answer's bytes read; a reader may have them elsewhere. */
  private async fill(
    at: number,
    length: number,
    read: (into: Uint8Array) => Promise<Uint8Array>,
  ): Promise<void> {
    const into = this.channel.bytes.subarray(at, at + length);
    const bytes = await read(into);
    if (bytes.buffer !== into.buffer) into.set(bytes);
  }

  /** Neighbours are read at once. */
  private async readPages(count: number): Promise<number> {
    const { pageSize } = this.run.dump;
    if (count * pageSize > PIECE) throw new Refused(`a read of ${count} pages: 1 MiB is the most`);
    const numbers = new BigUint64Array(this.channel.bytes.slice(0, count * 8).buffer);
    for (let from = 0; from < count; ) {
      let to = from + 1;
      while (to < count && numbers[to] === numbers[to - 1]! + 1n) to++;
      const [start, length] = [Number(numbers[from]) * pageSize, (to - from) * pageSize];
      await this.fill(from * pageSize, length, (into) => this.run.dump.read(start, length, into));
      from = to;
    }
    return count * pageSize;
  }

  private async pageStates(level: number, first: number, count: number): Promise<number> {
    if (level > LEVEL_MAX) throw new Refused(`a dump level of ${level}: ${LEVEL_MAX} is the most`);
    if (count > PIECE) throw new Refused(`the states of ${count} pages: ${PIECE} are the most`);
    this.states ??= await PageStates.of(this.run.dump, level);
    if (this.states.level !== level) throw new Refused("a second dump level in one run");
    this.states.fill(first, this.channel.bytes.subarray(0, count));
    return count;
  }

  private async write(offset: number, length: number): Promise<void> {
    const { limits, sink } = this.run;
    if (offset + length > limits.output) {
      const where = `${length} bytes at offset ${hex(offset)}`;
      throw new CollectorError(`it wrote ${where}: the output limit is ${formatSize(limits.output)}`);
    }
    await sink.write(offset, this.channel.bytes.subarray(0, length));
  }
}

/** The component asked for what nobody may have; it is told so. */
class Refused extends Error {
  override name = "Refused";
}
