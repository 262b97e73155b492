/**
 * Random WebAssembly modules for the link tests: functions with nested blocks, loops, ifs, branches (with
 * values, to any label, by table), returns, dead code, direct, indirect and hardware calls. They always
 * end: functions call higher-numbered ones only, and loops have a counter.
 *
 * Each hardware call tells who calls: out8(function << 16 | return address's offset in the skeleton, call
 * depth).
 */
import { ByteWriter } from "../../runtime/link/bytes.ts";

const I32 = 0x7f;
const I64 = 0x7e;
const F64 = 0x7c;
const VOID = 0x40;
const VALUE_TYPES = [I32, I64, F64] as const;
type Type = typeof I32 | typeof I64 | typeof F64 | typeof VOID;

/** Locals: depth, x (parameters), loop counter, then one of each value type. */
const DEPTH = 0;
const X = 1;
const COUNTER = 2;
const LOCAL: Record<number, number> = { [I32]: X, [I64]: 3, [F64]: 4 };
const FUNCTIONS = 7;
const OUT8 = 0;
const IN8 = 1;
const FIRST = 2;
const LOOP_LIMIT = 4;
const PROLOGUE_SIZE = 4;

/** mulberry32. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

class FunctionMaker {
  readonly out = new ByteWriter();
  /** Result types of the open labels, outermost (the function's own) first; what a branch to it carries. */
  private readonly labels: Type[];
  private skeleton = PROLOGUE_SIZE;

  constructor(
    readonly number: number,
    readonly results: readonly Type[],
    readonly pick: (below: number) => number,
  ) {
    this.labels = [this.result];
  }

  get result(): Type {
    return this.results[this.number] as Type;
  }

  make(): Uint8Array {
    const { out } = this;
    // Three groups: the counter, an i64, an f64.
    out.u8(3, 1, I32, 1, I64, 1, F64);
    this.statements(3);
    this.value(this.result, 3);
    return out.u8(0x0b).finish();
  }

  private constant(type: Type): void {
    const { out, pick } = this;
    if (type === I32) out.u8(0x41).sleb(pick(200) - 100);
    else if (type === I64) out.u8(0x42).sleb((pick(200) - 100) * 2 ** pick(40));
    else if (type === F64)
      out.u8(0x44).u64le([0x3ff8000000000000n, 0xc000000000000000n, 0n][pick(3)] as bigint);
  }

  private hardware(): void {
    this.skeleton += 5;
    this.out.u8(0x41).sleb((this.number << 16) | this.skeleton);
    this.out.u8(0x20, DEPTH, 0x10, OUT8);
  }

  /**
   * A call of a later function whose result is `type`, direct or through the table; false when there is
   * none.
   */
  private call(type: Type): boolean {
    const { out, pick, number, results } = this;
    const callees = results.flatMap((result, index) => (index > number && result === type ? [index] : []));
    if (callees.length === 0) return false;
    const callee = callees[pick(callees.length)] as number;
    out.u8(0x20, DEPTH, 0x41, 1, 0x6a);
    this.value(I32, 1);
    if (pick(3) > 0) {
      this.skeleton += 5;
      out.u8(0x10).uleb(FIRST + callee);
    } else {
      this.skeleton += 2;
      out.u8(0x41).sleb(callee + 1);
      out
        .u8(0x11)
        .uleb(VALUE_TYPES.length + VALUE_TYPES.indexOf(type as typeof I32))
        .u8(0);
    }
    return true;
  }

  private open(opcode: number, type: Type, budget: number): void {
    this.out.u8(opcode, type);
    this.labels.push(opcode === 0x03 ? VOID : type);
    this.statements(budget);
    if (opcode === 0x03) {
      // A bounded back edge: if (++counter < limit) continue.
      this.out.u8(0x20, COUNTER, 0x41, 1, 0x6a, 0x22, COUNTER, 0x41, LOOP_LIMIT, 0x48, 0x0d, 0);
    }
    this.value(type, budget);
    if (opcode === 0x04) {
      this.out.u8(0x05);
      this.statements(budget);
      this.value(type, budget);
    }
    this.labels.pop();
    this.out.u8(0x0b);
  }

  /** Leaves one value of `type` on the stack (none for VOID). */
  private value(type: Type, budget: number): void {
    const { out, pick } = this;
    if (type === VOID) return;
    const choice = budget <= 0 ? pick(2) : pick(10);
    if (choice === 0) {
      this.constant(type);
    } else if (choice === 1) {
      out.u8(0x20, LOCAL[type] as number);
    } else if (choice === 2) {
      this.open(0x02, type, budget - 1);
    } else if (choice === 3) {
      this.value(I32, budget - 1);
      this.open(0x04, type, budget - 1);
    } else if (choice === 4 && pick(2) === 0) {
      this.open(0x03, type, budget - 1);
    } else if (choice === 7 && type === I32) {
      this.skeleton += 5;
      out.u8(0x41, pick(20), 0x10, IN8);
    } else if (choice === 8) {
      this.branchIf(type, budget - 1);
    } else if (choice > 6 || !this.call(type)) {
      this.value(type, budget - 1);
      this.value(type, budget - 1);
      out.u8(type === I32 ? 0x6a : type === I64 ? 0x7c : 0xa0);
    }
  }

  /** A value that may leave for a label which takes one of its type. */
  private branchIf(type: Type, budget: number): void {
    this.value(type, budget);
    this.value(I32, budget);
    const fitting = this.labels.flatMap((label, index) =>
      label === type ? [this.labels.length - 1 - index] : [],
    );
    if (fitting.length === 0) this.out.u8(0x1a);
    else this.out.u8(0x0d).uleb(fitting[this.pick(fitting.length)] as number);
  }

  private leave(budget: number): void {
    const { out, pick, labels } = this;
    // A backward branch without the counter would not end.
    const forward = labels.flatMap((type, index) => (index === 0 || type !== VOID ? [index] : []));
    const index = forward[pick(forward.length)] as number;
    const choice = pick(4);
    if (choice === 0) {
      this.value(labels[0] as Type, budget);
      out.u8(0x0f);
    } else if (choice === 1) {
      this.value(labels[index] as Type, budget);
      this.value(I32, budget);
      const depth = labels.length - 1 - index;
      const alike = forward.filter((other) => labels[other] === labels[index]);
      const second = labels.length - 1 - (alike[pick(alike.length)] as number);
      out.u8(0x0e, 2).uleb(depth).uleb(second).uleb(depth);
    } else if (choice === 2 && pick(4) === 0) {
      out.u8(0x00);
    } else {
      this.value(labels[index] as Type, budget);
      out.u8(0x0c).uleb(labels.length - 1 - index);
    }
  }

  private statements(budget: number): void {
    for (let count = this.pick(3); count > 0; count--) this.statement(budget - 1);
  }

  private statement(budget: number): void {
    const { out, pick } = this;
    const type = VALUE_TYPES[pick(3)] as Type;
    switch (pick(7)) {
      case 0:
      case 1:
        this.hardware();
        break;
      case 2:
        this.value(type, budget);
        out.u8(0x21, LOCAL[type] as number);
        break;
      case 3:
        if (this.call(VOID)) break;
        this.value(type, budget);
        out.u8(0x1a);
        break;
      case 4:
        // Without an if around it, what follows is dead code.
        if (budget > 0 && pick(8) === 0) this.leave(budget - 1);
        else if (budget > 0) this.inIf(budget, () => this.leave(budget - 1));
        break;
      default:
        if (budget > 0) this.inIf(budget, () => this.statements(budget));
    }
  }

  private inIf(budget: number, fill: () => void): void {
    this.value(I32, budget - 1);
    this.out.u8(0x04, VOID);
    this.labels.push(VOID);
    fill();
    this.labels.pop();
    this.out.u8(0x0b);
  }
}

/** A module with one export, `f0(depth, x): i32`; the same seed, the same bytes. */
export function randomModule(seed: number): Uint8Array {
  const pick = random(seed);
  const results: Type[] = Array.from({ length: FUNCTIONS }, (_, number) =>
    number === 0 ? I32 : ([I32, I64, F64, VOID][pick(4)] as Type),
  );
  const out = new ByteWriter().u32le(0x6d736100).u32le(1);
  const section = (id: number, fill: (to: ByteWriter) => void): void => {
    const to = new ByteWriter();
    fill(to);
    out.u8(id).uleb(to.length).bytes(to.finish());
  };
  // Types 0 to 2 are the hardware's and void; 3 to 5 return i32, i64, f64; 2 is (i32, i32) as out8 is.
  const signature = (type: Type) => (type === VOID ? 2 : 3 + VALUE_TYPES.indexOf(type));
  section(1, (to) => {
    to.uleb(6).u8(0x60, 2, I32, I32, 0, 0x60, 1, I32, 1, I32, 0x60, 2, I32, I32, 0);
    for (const type of VALUE_TYPES) to.u8(0x60, 2, I32, I32, 1, type);
  });
  section(2, (to) => {
    to.uleb(3).name("hw").name("out8").u8(0, 0).name("hw").name("in8").u8(0, 1);
    to.name("env").name("memory").u8(2, 3, 1).uleb(0x10000);
  });
  section(3, (to) => to.vec(results, (type) => to.uleb(signature(type))));
  section(4, (to) => to.u8(1, 0x70, 0, FUNCTIONS + 1));
  section(7, (to) => to.uleb(1).name("f0").u8(0).uleb(FIRST));
  section(9, (to) => {
    to.u8(1, 0, 0x41, 1, 0x0b).uleb(FUNCTIONS);
    for (let number = 0; number < FUNCTIONS; number++) to.uleb(FIRST + number);
  });
  section(10, (to) => {
    to.uleb(FUNCTIONS);
    for (let number = 0; number < FUNCTIONS; number++) {
      const body = new FunctionMaker(number, results, pick).make();
      to.uleb(body.length).bytes(body);
    }
  });
  section(0, (to) => {
    const names = new ByteWriter().uleb(FUNCTIONS);
    for (let number = 0; number < FUNCTIONS; number++) names.uleb(FIRST + number).name(`random/f${number}`);
    to.name("name").u8(1).uleb(names.length).bytes(names.finish());
  });
  return out.finish();
}
