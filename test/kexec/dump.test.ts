/**
 * The real kernels, from power-on to a dump: what the dump holds, what a crash leaves alone, what purgatory
 * refuses.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { currentHost, MemoryFs } from "../../runtime/adapter/index.ts";
import { type BootOptions, type BootResult, boot, type Injection, resume } from "../../runtime/index.ts";
import { machinePrograms } from "../../tools/init/programs.ts";
import { MiB } from "../machine/run.ts";

const BUILD = join(import.meta.dirname, "../../build");
const MEMORY = 16 * MiB;
const LOW_MEMORY_END = 0xa0000;
const KERNEL_START = 0x100000;
const host = currentHost();

interface RealRun extends BootResult {
  console: string;
  vmcore: Uint8Array | undefined;
}

async function crash(options: Partial<BootOptions> = {}): Promise<RealRun> {
  const hostfs = new MemoryFs();
  let console = "";
  const result = await boot({
    image: readFileSync(join(BUILD, "vmlinuz")),
    initrd: readFileSync(join(BUILD, "initrd.img")),
    memory: MEMORY,
    cmdline: "console=ttyS0 crashkernel=2M",
    seed: 1,
    console: (bytes) => {
      console += new TextDecoder().decode(bytes);
    },
    hostfs,
    host,
    programs: machinePrograms(),
    ...options,
  });
  const path = result.vmcores[0];
  return { ...result, console, vmcore: path === undefined ? undefined : hostfs.read(path) };
}

interface Segment {
  offset: number;
  paddr: number;
  size: number;
}

/** The PT_LOAD segments of an ELF64 core. */
function loads(core: Uint8Array): Segment[] {
  const view = new DataView(core.buffer, core.byteOffset);
  const start = Number(view.getBigUint64(32, true));
  const segments: Segment[] = [];
  for (let i = 0; i < view.getUint16(56, true); i++) {
    const at = start + i * 56;
    if (view.getUint32(at, true) !== 1) continue;
    const [offset, paddr, size] = [8, 24, 32].map((field) => Number(view.getBigUint64(at + field, true)));
    segments.push({ offset: offset as number, paddr: paddr as number, size: size as number });
  }
  return segments;
}

const largest = (segments: Segment[]): Segment => segments.reduce((a, b) => (a.size > b.size ? a : b));

let straight: RealRun;
/** All memory on the jump into purgatory, and at the end. */
let atCrash: Uint8Array;
let atEnd: Uint8Array;

beforeAll(async () => {
  straight = await crash({
    powerOnFill: "random",
    onPhase: (phase, { memory }) => {
      if (phase === "panic") atCrash = memory.copy(0, MEMORY);
      if (phase === "end") atEnd = memory.copy(0, MEMORY);
    },
  });
});

describe("a dump", () => {
  it("is captured", () => {
    expect(straight.reason).toMatch(/^the capture kernel saved .*\/vmcore and reset/);
    expect(straight.outcome).toBe("captured");
  });

  it("holds every byte of memory as it was at the crash", () => {
    const { vmcore } = straight as { vmcore: Uint8Array };
    const segments = loads(vmcore);
    expect(segments.length).toBeGreaterThan(2);
    for (const { offset, paddr, size } of segments) {
      const dumped = vmcore.subarray(offset, offset + size);
      expect(
        Buffer.compare(dumped, atCrash.subarray(paddr, paddr + size)),
        `at 0x${paddr.toString(16)}`,
      ).toBe(0);
    }
    expect(segments.some(({ paddr }) => paddr < LOW_MEMORY_END)).toBe(true);
  });

  it("leaves memory outside the region alone, but for what the runtime scribbles over", () => {
    for (const { paddr, size } of loads(straight.vmcore as Uint8Array)) {
      const same =
        Buffer.compare(atEnd.subarray(paddr, paddr + size), atCrash.subarray(paddr, paddr + size)) === 0;
      expect(same, `at 0x${paddr.toString(16)}`).toBe(paddr >= KERNEL_START);
    }
  });

  it("is the same from memory saved at purgatory", async () => {
    const pieces: Uint8Array[] = [];
    const { outcome } = await crash({
      powerOnFill: "random",
      stopAt: "purgatory",
      saveMemory: (chunks) => {
        for (const chunk of chunks) pieces.push(chunk.slice());
      },
    });
    expect(outcome).toBe("stopped");
    const hostfs = new MemoryFs();
    const resumed = await resume(pieces, { console: () => {}, hostfs, host, programs: machinePrograms() });
    expect(resumed.vmcores).toEqual(straight.vmcores);
    expect(Buffer.compare(hostfs.read(resumed.vmcores[0] as string), straight.vmcore as Uint8Array)).toBe(0);
  });

  it("is the same for the same seed, another for another", async () => {
    const [same, other] = [await crash({ powerOnFill: "random" }), await crash({ seed: 2 })];
    expect(Buffer.compare(same.vmcore as Uint8Array, straight.vmcore as Uint8Array)).toBe(0);
    expect(Buffer.compare(other.vmcore as Uint8Array, straight.vmcore as Uint8Array)).not.toBe(0);
  });
});

describe("damage at the crash", () => {
  const addressOf = (pattern: RegExp): number => Number(pattern.exec(straight.console)?.[1] ?? Number.NaN);
  /** Where the crash region begins: behind the largest segment. */
  const region = (): number => {
    const { paddr, size } = largest(loads(straight.vmcore as Uint8Array));
    return paddr + size;
  };
  const find = (bytes: string, from: number, step: number): number => {
    const wanted = new TextEncoder().encode(bytes);
    for (let at = from; at < MEMORY; at += step)
      if (wanted.every((byte, i) => atCrash[at + i] === byte)) return at;
    return Number.NaN;
  };
  const run = (injection: Injection): Promise<RealRun> =>
    crash({ powerOnFill: "random", inject: [injection] });
  const targets: [string, () => number][] = [
    ["the ELF core headers", () => addressOf(/elfcorehdr=(0x[0-9a-f]+)/) + 64],
    ["the initrd", () => addressOf(/purgatory[\s\S]*RAMDISK: \[mem (0x[0-9a-f]+)/) + 100],
    ["the capture kernel", () => find("wkImage\0", region(), 0x10000) + 0x12345],
    ["the command line", () => find("elfcorehdr=0x", region(), 16) + 12],
  ];

  it.each(targets)("to %s is refused by purgatory", async (_, address) => {
    const phys = address();
    expect(phys).toBeGreaterThan(KERNEL_START);
    const result = await run({ phys, xor: 1, at: "panic" });
    expect(result.console).toMatch(/sha256 digests do not match/);
    expect(result.outcome).toBe("not-captured");
    expect(result.reason).toMatch(/^purgatory halted/);
    expect(result.vmcore).toBeUndefined();
  });

  it("to ordinary memory shows in the dump, and only there", async () => {
    const { vmcore } = straight as { vmcore: Uint8Array };
    const { paddr, offset } = largest(loads(vmcore));
    const result = await run({ phys: paddr + 0x345, xor: 0x5a, at: "panic" });
    const expected = vmcore.slice();
    expected[offset + 0x345] = (expected[offset + 0x345] as number) ^ 0x5a;
    expect(Buffer.compare(result.vmcore as Uint8Array, expected)).toBe(0);
  });
});
