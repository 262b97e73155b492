/**
 * Random modules do the same with and without frame records, and the records are true at every hardware
 * call.
 */
import { describe, expect, it } from "vitest";
import { randomModule } from "./random-module.ts";
import { linkCompiled, Rig } from "./support.ts";

const MODULES = 400;
/** Ends runs that would call the hardware too often; the same for both. */
const EVENTS_MAX = 100;

class TooLong extends Error {}

/** What a module does for some arguments: every hardware call, and how it ends. */
function trace(run: (x: number) => number, events: string[]): string[] {
  for (const x of [0, 1, -7, 1000]) {
    let ended: string;
    try {
      ended = `= ${run(x)}`;
    } catch (error) {
      ended = error instanceof WebAssembly.RuntimeError ? "trap" : (error as Error).constructor.name;
    }
    events.push(ended);
  }
  return events;
}

function hardware(events: string[], look: (who: number, depth: number) => void) {
  const count = (event: string): void => {
    events.push(event);
    if (events.length % EVENTS_MAX === 0) throw new TooLong();
  };
  return {
    out8: (who = 0, depth = 0) => {
      look(who, depth);
      count(`out8 ${who.toString(16)} ${depth}`);
      return undefined;
    },
    in8: (port = 0) => {
      count(`in8 ${port}`);
      return (port * 2654435761) & 0xff;
    },
  };
}

describe("random modules", () => {
  it("are valid, end the same way, and keep true records", () => {
    let calls = 0;
    let deepest = 0;
    const ends = new Set<string>();
    for (let seed = 1; seed <= MODULES; seed++) {
      const bytes = randomModule(seed);
      const plainEvents: string[] = [];
      const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
      const plain = new WebAssembly.Instance(new WebAssembly.Module(bytes as BufferSource), {
        env: { memory },
        hw: hardware(plainEvents, () => undefined),
      });
      const f0 = plain.exports.f0 as (depth: number, x: number) => number;
      const expected = trace((x) => f0(0, x), plainEvents);

      const linkedEvents: string[] = [];
      const output = linkCompiled({ wasm: bytes, sourceMap: '{"version":3,"sources":[],"mappings":""}' });
      const rig: Rig = new Rig(
        output,
        hardware(linkedEvents, (who, depth) => {
          const chain = rig.chain();
          expect(chain[0], `seed ${seed}`).toBe(`f${who >> 16}+0x${(who & 0xffff).toString(16)}`);
          expect(chain.length, `seed ${seed}`).toBe(depth + 1);
          calls++;
          deepest = Math.max(deepest, depth);
        }),
      );
      expect(
        trace((x) => rig.call("f0", 0, x), linkedEvents),
        `seed ${seed}`,
      ).toEqual(expected);
      for (const event of expected) ends.add(/^\S+/.exec(event)?.[0] ?? "");
    }
    // The generator reaches what it is for.
    expect(calls).toBeGreaterThan(1000);
    expect(deepest).toBeGreaterThan(3);
    expect([...ends].sort()).toEqual(["=", "TooLong", "in8", "out8", "trap"]);
  });
});
