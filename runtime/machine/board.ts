/**
 * What the CPUs of a machine share besides memory: time, the random streams, each CPU's interrupt state, and
 * whose turn it is. A block of words, because a CPU may run on a thread of its own (smp/thread.ts); only
 * the CPU whose turn it is reads or writes them, but for the words to wait on.
 */

export const CPUS_MAX = 8;

/** Random streams that CPUs draw from. */
const STREAMS = ["clock", "rdrand", "turns"] as const;
export type Stream = (typeof STREAMS)[number];
const STREAM_WORDS = 4;

/** What a CPU does while it has not the turn. */
export const cpuState = { OFF: 0, RUNNING: 1, WAITING: 2 } as const;

/** Words that a thread and its owner pass (smp/protocol.ts). */
export const MAILBOX_WORDS = 12;
const VECTORS = 256;
const VECTOR_WORDS = VECTORS / 32;

/** Offsets in bytes. Doubles first: they are aligned so. */
const BOARD = {
  now_ns: 0,
  turnEnd_ns: 8,
  origin_ms: 16,
  nmi_ns: 24,
  nmiCpu: 32,
  spins: 40,
  quit: 48,
  asker: 52,
  streams: 56,
};
/** Among the board's own words. */
const QUIT = 0;
const ASKER = 1;
const BOARD_SIZE = BOARD.streams + STREAMS.length * STREAM_WORDS * 4;
const CPU = {
  deadline_ns: 0,
  until_ns: 8,
  overflow_ns: 16,
  state: 24,
  turn: 28,
  nmi: 32,
  masked: 36,
  timer: 40,
  interruptible: 44,
  startup: 48,
  mail: 52,
  pending: 56,
  mailbox: 56 + VECTOR_WORDS * 4,
};
const CPU_SIZE = Math.ceil((CPU.mailbox + MAILBOX_WORDS * 4) / 8) * 8;

export class Board {
  readonly buffer: SharedArrayBuffer;
  readonly cpus: readonly CpuCells[];
  readonly #doubles: Float64Array;
  readonly #words: Int32Array;

  /** A new board for `cpus` CPUs, or another thread's. */
  constructor(cpus: number, buffer = new SharedArrayBuffer(BOARD_SIZE + CPUS_MAX * CPU_SIZE)) {
    this.buffer = buffer;
    this.#doubles = new Float64Array(buffer, 0, 6);
    this.#words = new Int32Array(buffer, BOARD.quit, 2);
    this.cpus = Array.from({ length: cpus }, (_, i) => new CpuCells(buffer, BOARD_SIZE + i * CPU_SIZE));
  }

  /** Nanoseconds since power-on. */
  get now_ns(): number {
    return this.#doubles[BOARD.now_ns / 8] as number;
  }

  set now_ns(value: number) {
    this.#doubles[BOARD.now_ns / 8] = value;
  }

  /** When the turn of the CPU that runs is over, if another waits for it. */
  get turnEnd_ns(): number {
    return this.#doubles[BOARD.turnEnd_ns / 8] as number;
  }

  set turnEnd_ns(value: number) {
    this.#doubles[BOARD.turnEnd_ns / 8] = value;
  }

  /** The host's clock at power-on. */
  get origin_ms(): number {
    return this.#doubles[BOARD.origin_ms / 8] as number;
  }

  set origin_ms(value: number) {
    this.#doubles[BOARD.origin_ms / 8] = value;
  }

  /** How many turns in a row have gone by in which a CPU did nothing but wait for another one. */
  get spins(): number {
    return this.#doubles[BOARD.spins / 8] as number;
  }

  set spins(value: number) {
    this.#doubles[BOARD.spins / 8] = value;
  }

  /** When the NMI comes that somebody outside has asked for, and to which CPU; 0: none. */
  get nmi(): { at_ns: number; cpu: number } {
    return {
      at_ns: this.#doubles[BOARD.nmi_ns / 8] as number,
      cpu: this.#doubles[BOARD.nmiCpu / 8] as number,
    };
  }

  set nmi({ at_ns, cpu }) {
    this.#doubles[BOARD.nmi_ns / 8] = at_ns;
    this.#doubles[BOARD.nmiCpu / 8] = cpu;
  }

  /** When that is; Infinity: never. */
  get nmiDue_ns(): number {
    return (this.#doubles[BOARD.nmi_ns / 8] as number) || Number.POSITIVE_INFINITY;
  }

  /** The CPUs are switched off: who waits for its turn, or for an answer, gives up. */
  get quit(): boolean {
    return Atomics.load(this.#words, QUIT) !== 0;
  }

  setQuit(): void {
    Atomics.store(this.#words, QUIT, 1);
    for (const cpu of this.cpus) {
      cpu.state = cpuState.OFF;
      cpu.giveTurn();
      cpu.giveMail();
    }
  }

  /** CPU `cpu` has a question for the owner in its mailbox. */
  ask(cpu: number): void {
    Atomics.store(this.#words, ASKER, cpu + 1);
    Atomics.notify(this.#words, ASKER);
  }

  /** Sleeps until a CPU asks, `patience_ms` at most. Its number; undefined: none does. */
  awaitQuestion(patience_ms: number): number | undefined {
    if (Atomics.load(this.#words, ASKER) === 0) Atomics.wait(this.#words, ASKER, 0, patience_ms);
    const asker = Atomics.exchange(this.#words, ASKER, 0);
    return asker === 0 ? undefined : asker - 1;
  }

  /** The words of a random stream's state. */
  stream(name: Stream): Uint32Array {
    const at = BOARD.streams + STREAMS.indexOf(name) * STREAM_WORDS * 4;
    return new Uint32Array(this.buffer, at, STREAM_WORDS);
  }
}

/** One CPU's words. */
export class CpuCells {
  readonly #doubles: Float64Array;
  readonly #words: Int32Array;
  /** One bit a vector. */
  readonly #pending: Int32Array;
  readonly mailbox: Int32Array;

  constructor(buffer: SharedArrayBuffer, at: number) {
    this.#doubles = new Float64Array(buffer, at, 3);
    this.#words = new Int32Array(buffer, at, CPU.pending / 4);
    this.#pending = new Int32Array(buffer, at + CPU.pending, VECTOR_WORDS);
    this.mailbox = new Int32Array(buffer, at + CPU.mailbox, MAILBOX_WORDS);
  }

  /** When the APIC's timer fires, in nanoseconds since power-on; 0: never. */
  get deadline_ns(): number {
    return this.#doubles[CPU.deadline_ns / 8] as number;
  }

  set deadline_ns(value: number) {
    this.#doubles[CPU.deadline_ns / 8] = value;
  }

  /**
   * When the performance counter overflows if the CPU runs until then, in nanoseconds since power-on; 0:
   * never. While it waits: what is left.
   */
  get overflow_ns(): number {
    return this.#doubles[CPU.overflow_ns / 8] as number;
  }

  set overflow_ns(value: number) {
    this.#doubles[CPU.overflow_ns / 8] = value;
  }

  /** While it waits: when it goes on in any case. */
  get until_ns(): number {
    return this.#doubles[CPU.until_ns / 8] as number;
  }

  set until_ns(value: number) {
    this.#doubles[CPU.until_ns / 8] = value;
  }

  /** One of cpuState. */
  get state(): number {
    return this.#words[CPU.state / 4] as number;
  }

  set state(value: number) {
    this.#words[CPU.state / 4] = value;
  }

  get nmi(): boolean {
    return this.#words[CPU.nmi / 4] !== 0;
  }

  set nmi(value: boolean) {
    this.#words[CPU.nmi / 4] = value ? 1 : 0;
  }

  /** Whether the last poll found interrupts off. */
  get masked(): boolean {
    return this.#words[CPU.masked / 4] !== 0;
  }

  set masked(value: boolean) {
    this.#words[CPU.masked / 4] = value ? 1 : 0;
  }

  /** The timer's entry in the local vector table. */
  get timer(): number {
    return (this.#words[CPU.timer / 4] as number) >>> 0;
  }

  set timer(value: number) {
    this.#words[CPU.timer / 4] = value;
  }

  /** While it waits: whether an interrupt ends that. */
  get interruptible(): boolean {
    return this.#words[CPU.interruptible / 4] !== 0;
  }

  set interruptible(value: boolean) {
    this.#words[CPU.interruptible / 4] = value ? 1 : 0;
  }

  /** The vector of the startup IPI that switched it on. */
  get startup(): number {
    return this.#words[CPU.startup / 4] as number;
  }

  set startup(value: number) {
    this.#words[CPU.startup / 4] = value;
  }

  /** The highest vector that is pending; 0: none. */
  get pending(): number {
    for (let i = VECTOR_WORDS - 1; i >= 0; i--) {
      const word = this.#pending[i] as number;
      if (word !== 0) return i * 32 + 31 - Math.clz32(word);
    }
    return 0;
  }

  /** All of them, lowest first. */
  get vectors(): number[] {
    return Array.from({ length: VECTORS }, (_, vector) => vector).filter(
      (vector) => ((this.#pending[vector >> 5] as number) >> (vector & 31)) & 1,
    );
  }

  set vectors(vectors: readonly number[]) {
    this.#pending.fill(0);
    for (const vector of vectors) this.raise(vector);
  }

  raise(vector: number): void {
    (this.#pending[vector >> 5] as number) |= 1 << (vector & 31);
  }

  lower(vector: number): void {
    (this.#pending[vector >> 5] as number) &= ~(1 << (vector & 31));
  }

  /** Hands the turn to this CPU. */
  giveTurn(): void {
    Atomics.store(this.#words, CPU.turn / 4, 1);
    Atomics.notify(this.#words, CPU.turn / 4);
  }

  /** Sleeps until it has the turn, or everything ends. */
  awaitTurn(): void {
    waitWhile(this.#words, CPU.turn / 4, 0);
    Atomics.store(this.#words, CPU.turn / 4, 0);
  }

  /** The owner's answer is in the mailbox. */
  giveMail(): void {
    Atomics.store(this.#words, CPU.mail / 4, 1);
    Atomics.notify(this.#words, CPU.mail / 4);
  }

  awaitMail(): void {
    waitWhile(this.#words, CPU.mail / 4, 0);
    Atomics.store(this.#words, CPU.mail / 4, 0);
  }
}

/** A function of its own, without anything inlined into it: Node 20 miscompiles loops around waits. */
function waitWhile(words: Int32Array, index: number, value: number): void {
  while (Atomics.load(words, index) === value) Atomics.wait(words, index, value);
}
