import { describe, expect, it } from "vitest";
import { BootError, type BootOptions } from "../../runtime/index.ts";
import { MiB, run } from "./run.ts";
import { testImage } from "./test-image.ts";

describe("power-on", () => {
  it("starts the image at 1 MiB with boot_params, its stack and CPU 0", async () => {
    const { console, outcome, reason } = await run(`
      export function startup_64(params: usize): void {
        hex(params); say(" "); hex(__phys_base); say(" "); hex(cpu); say(" "); hex(sp & 0x3fff); newline();
        power_off();
      }`);
    expect(console).toBe("00010000 00000000 00000000 00000000\n");
    expect(outcome).toBe("powered-off");
    expect(reason).toBe("the machine powered off");
  });

  it("writes boot_params, command line and initrd as Linux's boot protocol has them", async () => {
    const initrd = Uint8Array.from({ length: 5000 }, (_, i) => i % 251);
    const source = "export function startup_64(params: usize): void { power_off(); }";
    const { machine } = await run(source, {
      initrd,
      cmdline: "console=ttyS0 crashkernel=1M",
      memory: 64 * MiB,
    });
    const { memory } = machine;
    const params = 0x10000;
    expect(memory.u16(params + 0x1fe)).toBe(0xaa55);
    expect(new TextDecoder().decode(memory.copy(params + 0x202, 4))).toBe("HdrS");
    expect(memory.cString(memory.u32(params + 0x228), 2048)).toBe("console=ttyS0 crashkernel=1M");
    const ramdisk = memory.u32(params + 0x218);
    expect(memory.u32(params + 0x21c)).toBe(5000);
    expect(ramdisk).toBe(64 * MiB - 0x10000 - 8192);
    expect(memory.copy(ramdisk, 5000)).toEqual(initrd);
    expect(memory.u8(params + 0x1e8)).toBe(3);
    const e820 = [0, 1, 2].map((i) => {
      const at = params + 0x2d0 + i * 20;
      return [memory.u64(at), memory.u64(at + 8), memory.u32(at + 16)];
    });
    expect(e820).toEqual([
      [0, 0xa0000, 1],
      [0x100000, 63 * MiB - 0x10000, 1],
      [64 * MiB - 0x10000, 0x10000, 2],
    ]);
  });

  it("zeroes bss over whatever memory held, and nothing else", async () => {
    const source = "export function startup_64(params: usize): void { power_off(); }";
    const image = await testImage(source, { data: Uint8Array.of(1, 2, 3), bssPages: 3 });
    const { machine } = await run(source, { image, powerOnFill: "random" });
    const end = 0x100000 + image.length;
    const bss = machine.memory.copy(end, 3 * 4096);
    expect(bss.every((byte) => byte === 0)).toBe(true);
    const rest = machine.memory.copy(0x300000, 4096);
    expect(rest.filter((byte) => byte === 0).length).toBeLessThan(64);
  });

  it("boots with 4 GiB, without touching it", async () => {
    const { console } = await run(
      `export function startup_64(params: usize): void {
        store<u32>(0xfffefff0, 0x1234); hex(load<u32>(0xfffefff0)); newline(); power_off(); }`,
      { memory: 4096 * MiB },
    );
    expect(console).toBe("00001234\n");
  });

  it("uses the memory of an ended machine again, cleared", async () => {
    const source = `export function startup_64(params: usize): void {
      hex(load<u32>(0x300000)); newline(); store<u32>(0x300000, 1); power_off(); }`;
    const first = await run(source);
    const second = await run(source, { memory: first.machine.memory });
    expect(second.console).toBe("00000000\n");
  });
});

describe("bad input", () => {
  const source = "export function startup_64(params: usize): void { power_off(); }";
  const refused = async (options: Partial<BootOptions>): Promise<string> => {
    const error = await run(source, options).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BootError);
    return (error as BootError).message;
  };

  it.each([3 * 1024, 5 * 1024 * MiB, 4 * MiB + 4096, Number.NaN])(
    "refuses memory of %d bytes",
    async (memory) => {
      expect(await refused({ memory })).toMatch(/^memory of \S+ bytes: it must be from 4M to 4G/);
    },
  );

  it("refuses an image that is cut, damaged or none", async () => {
    const image = await testImage(source);
    expect(await refused({ image: image.subarray(0, image.length - 1) })).toMatch(/truncated/);
    expect(await refused({ image: image.subarray(0, 100) })).toMatch(/too few/);
    expect(await refused({ image: new Uint8Array(10000) })).toMatch(/not a kernel image/);
    const damaged = image.slice();
    damaged[5000] = (damaged[5000] as number) ^ 1;
    expect(await refused({ image: damaged })).toMatch(/damaged/);
    const longer = new Uint8Array(image.length + 1);
    longer.set(image);
    expect(await refused({ image: longer })).toMatch(/header says/);
    expect(await refused({ image: await testImage(source, { type: "purgatory" }) })).toMatch(/purgatory/);
  });

  it("refuses what does not fit", async () => {
    expect(await refused({ initrd: new Uint8Array(4 * MiB) })).toMatch(
      /initrd of 4194304 bytes does not fit/,
    );
    expect(await refused({ cmdline: "x".repeat(2048) })).toMatch(/command line has 2048 bytes/);
    const image = await testImage(source, { bssPages: 1024 });
    expect(await refused({ image })).toMatch(/kernel needs \d+ bytes/);
    expect(await refused({ inject: [{ phys: 4 * MiB, xor: 1, at: "panic" }] })).toMatch(/not in memory/);
    expect(await refused({ inject: [{ phys: 0, xor: 0, at: "panic" }] })).toMatch(/xor=0/);
    expect(await refused({ seed: -1 })).toMatch(/seed/);
  });
});

describe("ports and clocks", () => {
  const clocks = `export function startup_64(params: usize): void {
    for (let i = 0; i < 4; i++) { rdtsc(0x9000); hex(load<u32>(0x9000)); newline(); }
    rtc(0x9000); hex(load<u32>(0x9000)); newline(); hex(rdrand()); newline();
    power_off(); }`;

  it("gives the same times and random numbers for the same seed only", async () => {
    const first = await run(clocks, { seed: 5 });
    expect((await run(clocks, { seed: 5 })).console).toBe(first.console);
    const other = await run(clocks, { seed: 6 });
    const lines = first.console.split("\n");
    other.console.split("\n").forEach((line, i) => {
      if (line !== "") expect(line).not.toBe(lines[i]);
    });
    const ticks = lines.slice(0, 4).map((line) => Number.parseInt(line, 16));
    expect(ticks.every((tick, i) => i === 0 || tick > (ticks[i - 1] as number))).toBe(true);
  });

  it("uses the host's clock without a seed", async () => {
    const { console } = await run(clocks, { seed: undefined });
    const seconds = Number.parseInt(console.split("\n")[4] as string, 16);
    expect(Math.abs(seconds - Date.now() / 1000)).toBeLessThan(60);
  });

  it("prints by out8 and outs8, a partial line at the end too", async () => {
    const { console } = await run(`export function startup_64(params: usize): void {
      putc(65); store<u32>(0x9000, 0x430a4242); outs8(0x3f8, 0x9000, 4);
      hex(in8(0x3fd)); hex(in8(0x3fa)); hex(in8(0x60)); power_off(); }`);
    expect(console).toBe("ABB\nC00000060000000c1000000ff");
  });

  it("tells reset, halt and a clean power-off apart", async () => {
    const reset = await run(`export function startup_64(params: usize): void { say("bye\\n"); reset(); }`);
    expect(reset.outcome).toBe("not-captured");
    expect(reset.reason).toBe("the machine reset (last on the console: bye) before a capture kernel ran");
    const halt = await run("export function startup_64(params: usize): void { hlt(); }");
    expect(halt).toMatchObject({
      outcome: "not-captured",
      reason: "the machine halted before a capture kernel ran",
    });
    const returned = await run("export function startup_64(params: usize): void {}");
    expect(returned.reason).toMatch(/startup_64 returned/);
  });
});
