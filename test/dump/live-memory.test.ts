import { describe, expect, it } from "vitest";
import { LiveMemory } from "../../tools/dump/live-memory.ts";

describe("LiveMemory", () => {
  const memory = new Uint8Array(0x4000).map((_, at) => at >> 12);
  const live = new LiveMemory("machine", memory, 4096, [
    { start: 0, end: 0x1800 },
    { start: 0x3000, end: 0x4000 },
  ]);

  it("reads what is RAM, as it is at the time", async () => {
    expect([...(await live.read(0xffe, 4))]).toEqual([0, 0, 1, 1]);
    const before = await live.read(0x3000, 2);
    memory[0x3001] = 9;
    expect([...before, ...(await live.read(0x3000, 2))]).toEqual([3, 3, 3, 9]);
    expect([live.end, await live.held()]).toEqual([0x4000, 0x2800]);
  });

  it("says which pages there are, and where memory ends", async () => {
    expect(await Promise.all([0, 1, 2, 3, 4].map((pfn) => live.pageState(pfn)))).toEqual([
      "present",
      "present",
      "missing",
      "present",
      "missing",
    ]);
    await expect(live.read(0x17fe, 4)).rejects.toThrow(/machine: no memory at physical address 0x1800/);
    await expect(live.read(0x2000, 1)).rejects.toThrow(/0x2000/);
    await expect(live.read(-1, 1)).rejects.toThrow(/no memory/);
    await expect(live.read(0, 2 ** 40)).rejects.toThrow(/no memory/);
  });
});
