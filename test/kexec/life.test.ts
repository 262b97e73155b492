import { beforeAll, describe, expect, it } from "vitest";
import { currentHost, MemoryFs } from "../../runtime/adapter/index.ts";
import { type Phase, type ResumeOptions, resume, SnapshotError } from "../../runtime/index.ts";
import { MiB } from "../machine/run.ts";
import { miniKernel, PROGRAM } from "../user/mini-kernel.ts";
import { CAPTURE_ARG, CAPTURE_AT, type Crash, crash, PURGATORY_AT } from "./crash.ts";

const CONSOLE = `crash\npurg 00003000\ncapt ${CAPTURE_ARG.toString(16).padStart(8, "0")} 00180000 00000000\n`;

describe("a crash", () => {
  it("goes through purgatory to the capture kernel and a saved dump", async () => {
    const phases: Phase[] = [];
    const result = await crash({}, { onPhase: (phase) => phases.push(phase) });
    expect(result.console).toBe(CONSOLE);
    expect(result.outcome).toBe("captured");
    expect(result.vmcores).toEqual(["vmcore"]);
    expect(phases).toEqual(["power-on", "panic", "purgatory-done", "capture-boot", "saved", "end"]);
    expect(result.hostfs.paths()).toEqual(["vmcore"]);
    const dump = new DataView(result.hostfs.read("vmcore").buffer);
    expect(dump.getUint32(0, true)).toBe(0x66666666);
    expect(dump.getUint32(4, true)).toBe(0x77777777);
    expect(result.timings_ms.total).toBeGreaterThan(0);
    expect(result.timings_ms.boot).toBe(null);
  });

  it("is the same again with the same seed, and not with another", async () => {
    const dump = async (seed: number): Promise<string> => {
      const { hostfs } = await crash({}, { seed });
      return hostfs.read("vmcore").join();
    };
    const first = await dump(7);
    expect(await dump(7)).toBe(first);
    expect(await dump(8)).not.toBe(first);
  });

  it("sees memory that the runtime changed at each injection point", async () => {
    const inject = (phys: number, at: "panic" | "purgatory"): ReturnType<typeof crash> =>
      crash({}, { inject: [{ phys, xor: 0x60, at }] });
    const word = async (run: ReturnType<typeof crash>, at: number): Promise<number> =>
      new DataView((await run).hostfs.read("vmcore").buffer).getUint32(at, true);
    expect(await word(inject(0x180000, "panic"), 0)).toBe(0x66666606);
    expect(await word(inject(0x180000, "purgatory"), 0)).toBe(0x66666606);
    expect(await word(inject(0x5000, "panic"), 4)).toBe(0x77777717);
    expect(await word(inject(0x5000, "purgatory"), 4)).toBe(0x77777777);
  });

  const reasons: [string, Crash, RegExp][] = [
    [
      "a purgatory that halts",
      { purgatory: `export function purgatory(): void { say("differ\\n"); hlt(); }` },
      /^purgatory halted \(last on the console: differ\) without saving a dump$/,
    ],
    [
      "a purgatory that traps",
      { purgatory: "export function purgatory(): void { unreachable(); }" },
      /^purgatory died: unreachable/,
    ],
    [
      "a purgatory that returns",
      { purgatory: "export function purgatory(): void {}" },
      /^purgatory died: purgatory returned/,
    ],
    [
      "a purgatory without its function",
      { purgatory: "export function other(): void {}" },
      /^purgatory died: the image has no purgatory/,
    ],
    [
      "a jump to where no image is",
      { production: "export function startup_64(params: usize): void { jump(0x300000, 0); }" },
      /no purgatory can run at 0x300000: this is not a kernel image/,
    ],
    [
      "a jump out of memory",
      { production: "export function startup_64(params: usize): void { jump(0xfffffff0, 0); }" },
      /no purgatory can run at 0xfffffff0: there is no memory/,
    ],
    [
      "a capture kernel where purgatory should be",
      { purgatory: `export function purgatory(): void { jump(${PURGATORY_AT}, 0); }` },
      /no kernel can run at 0x200000: it is of another type/,
    ],
    [
      "code that does not compile",
      {
        damage: (_, capture) => {
          capture.fill(0xff, 4096 + 8, 4096 + 40);
        },
      },
      /no kernel can run at 0x280000: its code is not valid WebAssembly/,
    ],
    [
      "code cut away",
      {
        damage: (purgatory) => {
          purgatory.fill(0, 4096, 8192);
        },
      },
      /no purgatory can run at 0x200000: its code is not valid WebAssembly/,
    ],
    [
      "code that wants what no machine has",
      {
        capture: `@external("hw", "teleport") declare function teleport(): void;
          export function startup_64(params: usize): void { teleport(); }`,
      },
      /imports or exports do not fit/,
    ],
    [
      "a capture kernel that saves nothing",
      { capture: `export function startup_64(params: usize): void { say("Oops\\n"); reset(); }` },
      /^the capture kernel reset \(last on the console: Oops\) without saving a dump$/,
    ],
    [
      "a second crash",
      { capture: `export function startup_64(params: usize): void { jump(${CAPTURE_AT}, 0); }` },
      /^the capture kernel died: it crashed too/,
    ],
  ];

  it.each(reasons)("ends not captured, with a reason: %s", async (_, sources, reason) => {
    const result = await crash(sources);
    expect(result.outcome).toBe("not-captured");
    expect(result.reason).toMatch(reason);
    expect(result.hostfs.paths()).toEqual([]);
  });

  it("reaches user mode in the capture kernel, where memory may be changed too", async () => {
    const phases: Phase[] = [];
    const result = await crash(
      { capture: miniKernel() },
      {
        programs: { [PROGRAM]: async () => 0 },
        inject: [{ phys: 0x180000, xor: 0x60, at: "capture" }],
        onPhase: (phase, machine) => {
          phases.push(phase);
          if (phase === "capture-user") expect(machine.memory.u32(0x180000)).toBe(0x66666666);
        },
      },
    );
    expect(phases).toEqual(["power-on", "panic", "purgatory-done", "capture-boot", "capture-user", "end"]);
    expect(result.machine.memory.u32(0x180000)).toBe(0x66666606);
    expect(result.timings_ms.crash_to_capture).toBeGreaterThan(0);
    expect(result.outcome).toBe("not-captured");
  });

  it("does not hide damage behind its cache of modules", async () => {
    expect((await crash()).outcome).toBe("captured");
    const damaged = await crash(
      {},
      { inject: [{ phys: CAPTURE_AT + 4096 + 20, xor: 0xff, at: "purgatory" }] },
    );
    expect(damaged.outcome).toBe("not-captured");
    expect((await crash()).outcome).toBe("captured");
  });
});

describe("memory saved at purgatory", () => {
  const pieces: Uint8Array[] = [];
  let saved: Uint8Array;

  beforeAll(async () => {
    const { outcome, console } = await crash(
      {},
      {
        seed: 3,
        stopAt: "purgatory",
        inject: [{ phys: 0x180001, xor: 1, at: "panic" }],
        saveMemory: (chunks) => {
          for (const chunk of chunks) pieces.push(chunk.slice());
        },
      },
    );
    expect(outcome).toBe("stopped");
    expect(console).toBe("crash\n");
    const size = pieces.reduce((sum, { length }) => sum + length, 0);
    saved = new Uint8Array(size);
    pieces.reduce((at, piece) => {
      saved.set(piece, at);
      return at + piece.length;
    }, 0);
  });

  const options = (): ResumeOptions & { hostfs: MemoryFs } => ({
    console: () => {},
    hostfs: new MemoryFs(),
    host: currentHost(),
    programs: {},
  });

  it("gives the dump of the run that goes straight through", async () => {
    const straight = await crash({}, { seed: 3, inject: [{ phys: 0x180001, xor: 1, at: "panic" }] });
    const single = Array.from({ length: 40 }, (_, i) => saved.subarray(i, i + 1));
    for (const source of [saved, pieces, [...single, saved.subarray(40)]]) {
      const resumed = options();
      const result = await resume(source, resumed);
      expect(result.outcome).toBe("captured");
      expect(resumed.hostfs.read("vmcore")).toEqual(straight.hostfs.read("vmcore"));
      expect(result.machine.memory.size).toBe(4 * MiB);
    }
  });

  it("leaves pages of zeros out", () => {
    expect(saved.length).toBeLessThan(200_000);
  });

  const refused = async (source: Uint8Array): Promise<string> => {
    const error = await resume(source, options()).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SnapshotError);
    return (error as SnapshotError).message;
  };

  it("is refused when it is cut anywhere, damaged anywhere, or longer", async () => {
    for (const length of [0, 7, 16, 100, 1000, saved.length - 33, saved.length - 1]) {
      expect(await refused(saved.slice(0, length))).toMatch(/ends too early/);
    }
    for (const at of [0, 9, 14, 30, 600, 5000, saved.length - 40, saved.length - 1]) {
      const damaged = saved.slice();
      damaged[at] = (damaged[at] as number) ^ 0x80;
      expect(await refused(damaged)).toMatch(/^the saved memory is unusable: /);
    }
    const longer = new Uint8Array(saved.length + 1);
    longer.set(saved);
    expect(await refused(longer)).toMatch(/bytes follow its end/);
    expect(await refused(new TextEncoder().encode("not a snapshot at all"))).toMatch(
      /not memory that was saved/,
    );
  });
});
