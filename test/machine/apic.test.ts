/** The local APIC and the machine's clock, with a register in place of running code. */
import { describe, expect, it } from "vitest";
import { currentHost, MemoryFs } from "../../runtime/adapter/index.ts";
import { POLL_NS } from "../../runtime/machine/clock.ts";
import { Expired } from "../../runtime/machine/control.ts";
import { Machine } from "../../runtime/machine/machine.ts";
import { SnapshotReader, snapshotChunks } from "../../runtime/machine/snapshot.ts";

const DEADLINE = 0x6e0;
const ICR = 0x830;
const LVT_TIMER = 0x832;
const PMC0 = 0xc1;
const NMI = 2;
const TIMER = 0xec;
const MS = 1e6;

function machineOf(options: { limit?: number; seed?: number } = { seed: 1 }): Machine {
  return new Machine({
    memory: 4 << 20,
    console: () => undefined,
    hostfs: new MemoryFs(),
    host: currentHost(),
    ...options,
  });
}

/** A kernel that polls: passes `polls` of them, and gives the vectors that came, each with its poll. */
function pass(machine: Machine, fuel: { value: number }, polls: number, enabled = true): [number, number][] {
  const came: [number, number][] = [];
  for (let i = 1; i <= polls; i++) {
    if (--fuel.value !== 0) continue;
    const vector = machine.apic.acknowledge(enabled);
    if (vector !== 0) came.push([i, vector]);
  }
  return came;
}

function armed(machine: Machine, at_ns: number): void {
  machine.apic.wrmsr(LVT_TIMER, 0x40000 | TIMER, 0);
  machine.apic.wrmsr(DEADLINE, at_ns | 0, Math.floor(at_ns / 2 ** 32));
}

describe("the local APIC", () => {
  it("fires at the poll that the deadline falls on", () => {
    for (const [at, poll] of [
      [1, 1],
      [POLL_NS, 1],
      [POLL_NS + 1, 2],
      [MS, MS / POLL_NS],
    ] as const) {
      const machine = machineOf();
      const fuel = { value: 0 };
      machine.apic.attach(fuel);
      armed(machine, at);
      expect(pass(machine, fuel, poll + 100)).toEqual([[poll, TIMER]]);
    }
  });

  it("counts what the CPU runs, and gives an NMI at the overflow, whatever the interrupt flag", () => {
    const machine = machineOf();
    const fuel = { value: 0 };
    machine.apic.attach(fuel);
    machine.apic.wrmsr(PMC0, -MS | 0, 0xffff);
    expect(machine.apic.readPmc()).toBe(2 ** 48 - MS);
    const polls = MS / POLL_NS;
    expect(pass(machine, fuel, polls / 2, false)).toEqual([]);
    expect(machine.apic.readPmc()).toBe(2 ** 48 - MS / 2);
    // A CPU that waits does not run.
    machine.apic.pause(100 * MS, false);
    expect(machine.apic.readPmc()).toBe(2 ** 48 - MS / 2);
    expect(pass(machine, fuel, polls, false)).toEqual([[polls / 2, NMI]]);
    expect(machine.apic.readPmc()).toBe(0);
    expect(pass(machine, fuel, 3 * polls)).toEqual([]);
  });

  it("wakes no CPU for its counter", () => {
    const machine = machineOf();
    machine.apic.wrmsr(PMC0, -MS | 0, 0xffff);
    expect(machine.apic.halt(true)).toBe(false);
  });

  it("fires earlier by the time that readings of the clock take", () => {
    const machine = machineOf();
    const fuel = { value: 0 };
    machine.apic.attach(fuel);
    armed(machine, MS);
    const now = machine.apic.readTsc();
    expect(pass(machine, fuel, MS / POLL_NS)).toEqual([[Math.ceil((MS - now) / POLL_NS), TIMER]]);
  });

  it("keeps what comes while interrupts are off, the highest vector first after it", () => {
    const machine = machineOf();
    const fuel = { value: 0 };
    machine.apic.attach(fuel);
    for (const vector of [0x40, 0xfd, 0x41, 31]) machine.apic.raise(vector);
    expect(pass(machine, fuel, 1000, false)).toEqual([]);
    expect(pass(machine, fuel, 1000).map(([, vector]) => vector)).toEqual([0xfd, 0x41, 0x40]);
  });

  it("delivers an NMI at the next poll, with interrupts off, once", () => {
    const machine = machineOf();
    const fuel = { value: 0 };
    machine.apic.attach(fuel);
    machine.apic.wrmsr(ICR, 0x400, 0);
    expect(pass(machine, fuel, 1000, false)).toEqual([[1, 2]]);
  });

  it("is not starved by code that reads the clock all the time", () => {
    const machine = machineOf();
    const fuel = { value: 0 };
    machine.apic.attach(fuel);
    machine.apic.raise(0x40);
    pass(machine, fuel, 40, false);
    let came = 0;
    for (let i = 0; i < 100 && came === 0; i++) {
      machine.apic.readTsc();
      came = pass(machine, fuel, 1).length;
    }
    expect(came).toBe(1);
  });

  it("halted, lets time pass until the timer; without one, for ever", () => {
    const machine = machineOf();
    const fuel = { value: 0 };
    machine.apic.attach(fuel);
    expect(machine.apic.halt(true)).toBe(false);
    armed(machine, 5000 * MS);
    expect(machine.apic.halt(true)).toBe(true);
    expect(machine.clock.now_ns).toBe(5000 * MS);
    expect(pass(machine, fuel, 10)).toEqual([[1, TIMER]]);
  });

  it("pauses until the time given, or until an interrupt that may come", () => {
    const machine = machineOf();
    machine.apic.attach({ value: 0 });
    armed(machine, MS);
    machine.apic.pause(10 * MS, true);
    expect(machine.clock.now_ns).toBe(MS);
    machine.apic.pause(10 * MS, false);
    expect(machine.clock.now_ns).toBe(10 * MS);
  });

  it("does not fire when its table entry is masked", () => {
    const machine = machineOf();
    const fuel = { value: 0 };
    machine.apic.attach(fuel);
    armed(machine, MS);
    machine.apic.wrmsr(LVT_TIMER, 0x10000, 0);
    expect(pass(machine, fuel, MS / POLL_NS + 10)).toEqual([]);
  });

  it("stops the machine at its limit: in code, halted, paused, and without polls", () => {
    const limited = () => machineOf({ seed: 1, limit: 2 });
    const machine = limited();
    const fuel = { value: 0 };
    machine.apic.attach(fuel);
    expect(() => pass(machine, fuel, (2 * MS) / POLL_NS - 1)).not.toThrow();
    expect(() => pass(machine, fuel, 1)).toThrow(Expired);
    const halted = limited();
    armed(halted, 3 * MS);
    expect(() => halted.apic.halt(true)).toThrow(Expired);
    expect(() => limited().apic.pause(3 * MS, false)).toThrow(Expired);
    const unpolled = limited();
    expect(() => {
      for (let i = 0; i < 1000; i++) unpolled.apic.readTsc();
    }).toThrow(Expired);
  });

  it("in real time fires when the host's clock says so", () => {
    const machine = machineOf({});
    const fuel = { value: 0 };
    machine.apic.attach(fuel);
    armed(machine, machine.clock.now_ns + 20 * MS);
    expect(pass(machine, fuel, 4096)).toEqual([]);
    const before = performance.now();
    expect(machine.apic.halt(true)).toBe(true);
    expect(performance.now() - before).toBeGreaterThan(10);
    expect(pass(machine, fuel, 1)).toEqual([[1, TIMER]]);
  });

  it("goes on from a snapshot", () => {
    const machine = machineOf();
    const fuel = { value: 0 };
    machine.apic.attach(fuel);
    armed(machine, MS);
    machine.apic.raise(0x41);
    machine.apic.raiseNmi();
    const pieces = [...snapshotChunks(machine, { entry: 0, arg: 0 })].map((piece) => piece.slice());
    const other = machineOf();
    new SnapshotReader(pieces, currentHost()).restore(other);
    expect(other.apic.state).toEqual(machine.apic.state);
    const again = { value: 0 };
    other.apic.attach(again);
    expect(pass(other, again, MS / POLL_NS)).toEqual(pass(machine, fuel, MS / POLL_NS));
  });
});
