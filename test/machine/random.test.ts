import { describe, expect, it } from "vitest";
import { Random } from "../../runtime/machine/random.ts";

const draw = (random: Random, count: number): number[] => Array.from({ length: count }, () => random.u32());

describe("Random", () => {
  it("is xoshiro128**", () => {
    // The first outputs of the reference implementation (prng.di.unimi.it) for the state 1, 2, 3, 4.
    const random = new Random(0, "");
    random.state = [1, 2, 3, 4];
    expect(draw(random, 4)).toEqual([11520, 0, 5927040, 70819200]);
  });

  it("goes on from a state, and fills as it draws", () => {
    const random = new Random(7, "a");
    draw(random, 10);
    const { state } = random;
    const words = new Uint32Array(100);
    random.fill(words);
    const again = new Random(0, "");
    again.state = state;
    expect(Array.from(words)).toEqual(draw(again, 100));
    expect(random.state).toEqual(again.state);
  });

  it("has a stream for each seed and name", () => {
    const streams = [new Random(1, "a"), new Random(1, "b"), new Random(2, "a"), new Random(0, "")];
    expect(new Set(streams.map((random) => draw(random, 4).join())).size).toBe(4);
  });
});
