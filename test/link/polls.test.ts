/**
 * Polls: where linked functions count fuel down, what happens when there is none left, and that nothing
 * else of them changes.
 */
import { describe, expect, it } from "vitest";
import { type Compiled, compile, linkCompiled, PRELUDE, Rig } from "./support.ts";

const HANDLER = "asm_interrupt";
/** in8(77) is the handler's question; it must not write where the interrupted function's last call stands. */
const SOURCE = `${PRELUDE}
  export function asm_interrupt(): void {
    const sp = get_sp();
    set_sp(sp - 176);
    in8(77);
    set_sp(sp);
  }
  function leaf_loop(n: i32): i32 { let sum = 0; for (let i = 0; i < n; i++) sum = sum * 3 ^ i; return sum; }
  function recursive(n: i32): i32 { return n ? recursive(n - 1) + 1 : 0; }
  export function loops(n: i32): i32 { return leaf_loop(n); }
  export function recursion(n: i32): i32 { return recursive(n); }
  export function hardware(n: i32): void { out8(n, 1); }
  export function mixed(n: i32): i32 {
    let sum = 0;
    do {
      out8(n, sum);
      switch (n & 3) { case 0: sum += leaf_loop(3); break; case 1: continue; default: sum ^= recursive(2); }
    } while (n-- > 0 && sum != 12345);
    return sum;
  }
  export function asm_entry(n: i32): i32 { let i = 0; while (i < n) { out8(i, 0); i++; } return i; }`;
const ENTRY = [HANDLER, "asm_entry"];

interface Polled {
  rig: Rig;
  fuel: Fuel;
  /** Calls of the handler. */
  questions: number;
}

interface Fuel {
  value: number;
}

function fuelOf({ exports: { fuel_left, refuel } }: Rig): Fuel {
  return {
    get value(): number {
      return fuel_left?.() ?? 0;
    },
    set value(polls: number) {
      refuel?.(polls);
    },
  };
}

function polled(compiled: Compiled, every: number, entries = true): Polled {
  const output = linkCompiled(compiled, { entry: ENTRY, poll: { handler: HANDLER, entries } });
  const made: Polled = { rig: undefined as never, fuel: undefined as never, questions: 0 };
  made.rig = new Rig(output, {
    in8: (port) => {
      if (port === 77) {
        made.questions++;
        expect(made.fuel.value).toBe(0);
        made.fuel.value = every;
      }
      return 0;
    },
  });
  made.fuel = fuelOf(made.rig);
  made.fuel.value = every;
  return made;
}

/** Polls that a call passes. */
function polls(made: Polled, name: string, argument: number): number {
  made.fuel.value = 1 << 30;
  made.rig.call(name, argument);
  return (1 << 30) - made.fuel.value;
}

describe("polls", () => {
  it.each([["-O0"], ["-O3"], ["-Oz"]])("are at each turn of a loop, of leaves too (%s)", async (level) => {
    const made = polled(await compile(SOURCE, [level]), 1);
    const once = polls(made, "loops", 0);
    // The optimiser may turn the first test around, so that a loop of none has no turn.
    expect(polls(made, "loops", 1000) - polls(made, "loops", 10)).toBe(990);
    expect(once).toBeLessThanOrEqual(2);
  });

  it("are at entries of functions that call others, not of those that call the hardware only", async () => {
    const compiled = await compile(SOURCE, ["-O0"]);
    const made = polled(compiled, 1);
    expect(polls(made, "recursion", 9) - polls(made, "recursion", 4)).toBe(5);
    expect(polls(made, "hardware", 1)).toBe(0);
    expect(polls(polled(compiled, 1, false), "recursion", 9)).toBe(0);
  });

  it("are not in entry functions", async () => {
    const made = polled(await compile(SOURCE), 1);
    expect(polls(made, "asm_entry", 50)).toBe(0);
  });

  it("ask when the fuel is used up, each time after the same instructions", async () => {
    const compiled = await compile(SOURCE);
    const whole = polls(polled(compiled, 1), "mixed", 40);
    for (const every of [1, 2, 7, 100]) {
      const made = polled(compiled, every);
      made.rig.call("mixed", 40);
      expect(made.questions).toBe(Math.floor(whole / every));
    }
  });

  it("change no result, no hardware call and no frame record", async () => {
    for (const level of ["-O0", "-O3"]) {
      const compiled = await compile(SOURCE, [level]);
      const trace = (poll: boolean): string[] => {
        const events: string[] = [];
        const output = linkCompiled(compiled, {
          entry: ENTRY,
          ...(poll ? { poll: { handler: HANDLER, entries: true } } : {}),
        });
        const rig: Rig = new Rig(output, {
          out8: (port, value) => void events.push(`${port} ${value} ${rig.chain().join(" ")}`),
          in8: (port) => {
            if (port === 77) fuelOf(rig).value = 3;
            return 0;
          },
        });
        if (poll) fuelOf(rig).value = 3;
        for (const n of [0, 1, 2, 13, 40]) events.push(`= ${rig.call("mixed", n)}`);
        return events;
      };
      expect(trace(true)).toEqual(trace(false));
    }
  });

  it("leave the word below the record, where the interrupted function made its last call", async () => {
    const source = `${PRELUDE}
      export function asm_interrupt(): void {
        const sp = get_sp();
        set_sp(sp - 176);
        in8(77);
        set_sp(sp);
      }
      export function spin(n: i32): i32 {
        out8(1, 1);
        let sum = 0;
        while (n > 0) { sum = sum * 5 + n; n--; }
        return sum;
      }`;
    const seen: string[] = [];
    const output = linkCompiled(await compile(source), {
      entry: [HANDLER],
      poll: { handler: HANDLER, entries: true },
    });
    const other: Rig = new Rig(output, {
      in8: () => {
        seen.push(other.nameOf(other.u64(other.sp + 176 - 8)));
        fuelOf(other).value = 10;
        return 0;
      },
    });
    fuelOf(other).value = 10;
    other.call("spin", 35);
    expect(seen).toEqual(["spin+0x9", "spin+0x9", "spin+0x9"]);
  });

  it("are refused without a handler among the entry functions", async () => {
    const compiled = await compile(SOURCE);
    const poll = (handler: string, entry: string[]) => () =>
      linkCompiled(compiled, { entry, poll: { handler, entries: true } });
    expect(poll(HANDLER, [])).toThrow(/asm_interrupt is not among the entry functions/);
    expect(poll("nobody", [])).toThrow(/nobody is not among the entry functions/);
    expect(poll("asm_entry", ENTRY)).toThrow(/asm_entry has parameters or a result/);
  });

  it("add two functions, and no global that is exported", async () => {
    const { rig } = polled(await compile(SOURCE), 1);
    const exports = WebAssembly.Module.exports(new WebAssembly.Module(rig.output.wasm as BufferSource));
    const globals = exports.filter((it) => it.kind === "global").map((it) => it.name);
    expect(globals).toEqual(["sp", "cpu"]);
    expect(exports.slice(-2).map((it) => it.name)).toEqual(["fuel_left", "refuel"]);
  });
});
