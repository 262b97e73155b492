/** The threads of CPUs: the next machine takes them again, unless they have died or do not leave the last. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Host, HostThread, ThreadListener } from "../../runtime/adapter/host.ts";
import { Crew } from "../../runtime/smp/pool.ts";
import type { Letter, ThreadData } from "../../runtime/smp/protocol.ts";

/** A thread that does what the test says. */
class FakeThread implements HostThread {
  readonly posted: unknown[] = [];
  held = true;
  terminated = false;

  constructor(readonly listener: ThreadListener) {}

  post(message: unknown): void {
    this.posted.push(message);
  }

  hold(on: boolean): void {
    this.held = on;
  }

  terminate(): void {
    this.terminated = true;
  }

  says(op: "ready" | "idle"): void {
    this.listener.onMessage({ op } satisfies Letter);
  }
}

describe("the threads of CPUs", () => {
  let threads: FakeThread[] = [];
  let program: URL;
  const letters: Letter[] = [];
  const errors: unknown[] = [];
  let machines = 0;

  const host = {
    startThread: (_program: URL, listener: ThreadListener) => {
      threads.push(new FakeThread(listener));
      return threads.at(-1);
    },
  } as unknown as Host;
  const crew = (cpus: number): Crew => {
    const listener = {
      onLetter: (letter: Letter) => letters.push(letter),
      onError: (error: unknown) => errors.push(error),
    };
    const data = Array.from({ length: cpus }, (_, cpu) => ({ cpu }) as ThreadData);
    return new Crew(host, program, data, listener);
  };

  beforeEach(() => {
    vi.useFakeTimers();
    threads = [];
    letters.length = 0;
    errors.length = 0;
    program = new URL(`file:///cpu-${++machines}.js`);
  });
  afterEach(() => void vi.useRealTimers());

  it("are ready when all of them are, and told which CPU they are", async () => {
    const { ready } = crew(2);
    let all = false;
    void ready.then(() => {
      all = true;
    });
    threads[0]!.says("ready");
    await vi.advanceTimersByTimeAsync(0);
    expect(all).toBe(false);
    threads[1]!.says("ready");
    await ready;
    expect(threads.map(({ posted }) => posted)).toEqual([[{ cpu: 0 }], [{ cpu: 1 }]]);
    expect(letters).toEqual([{ op: "ready" }, { op: "ready" }]);
  });

  it("are CPUs of the next machine, and in between keep no process alive", async () => {
    const first = crew(2);
    expect(threads.map(({ held }) => held)).toEqual([true, true]);
    const gone = first.dismissed();
    for (const thread of threads) thread.says("idle");
    await gone;
    expect(threads.map(({ held }) => held)).toEqual([false, false]);
    crew(3);
    expect(threads.map(({ posted }) => posted.length)).toEqual([2, 2, 1]);
    expect(threads.map(({ held }) => held)).toEqual([true, true, true]);
  });

  it("of two machines at once are others", () => {
    crew(2);
    crew(2);
    expect(threads).toHaveLength(4);
  });

  it("that do not leave their machine are ended, and not taken again", async () => {
    const gone = crew(2).dismissed();
    threads[1]!.says("idle");
    let over = false;
    void gone.then(() => {
      over = true;
    });
    await vi.advanceTimersByTimeAsync(1000);
    expect([over, threads[0]!.terminated]).toEqual([false, false]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(over).toBe(true);
    expect(threads.map(({ terminated }) => terminated)).toEqual([true, false]);
    crew(2);
    expect(threads.map(({ posted }) => posted.length)).toEqual([1, 2, 1]);
  });

  it("that die are reported, and not taken again", async () => {
    const first = crew(1);
    const error = new Error("no such program");
    threads[0]!.listener.onError(error);
    await expect(first.ready).rejects.toBe(error);
    expect(errors).toEqual([error]);
    await first.dismissed();
    crew(1);
    expect(threads.map(({ posted }) => posted.length)).toEqual([1, 1]);
  });
});
