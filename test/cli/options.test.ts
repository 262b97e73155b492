import { describe, expect, it } from "vitest";
import { parseBootFlags } from "../../tools/boot/options.ts";
import { formatSize, parseSize, readableSize } from "../../tools/size.ts";

describe("sizes", () => {
  it.each<[string, number | undefined]>([
    ["64M", 64 << 20],
    ["64m", 64 << 20],
    ["0x400000", 4 << 20],
    ["0x40K", 65536],
    ["017", 15],
    ["0", 0],
    ["4G", 2 ** 32],
    ["1E", undefined],
    ["08", undefined],
    ["64MB", undefined],
    ["-1", undefined],
    ["1.5G", undefined],
    ["", undefined],
    ["0x", undefined],
  ])("%s", (text, size) => expect(parseSize(text)).toBe(size));

  it("are written back exactly", () => {
    for (const size of [0, 1, 4095, 4096, 65536, 4 << 20, 2 ** 32, (64 << 20) + 4096]) {
      expect(parseSize(formatSize(size))).toBe(size);
    }
    expect(formatSize(64 << 20)).toBe("64M");
    expect(readableSize(69_600_000)).toBe("66.4 MiB");
  });
});

describe("boot's command line", () => {
  const cmdline = (...args: string[]): string => parseBootFlags(args).cmdline;

  it("has defaults that fit the memory", () => {
    expect(cmdline()).toBe("console=ttyS0 crashkernel=4M");
    expect(cmdline("--memory", "5M")).toBe("console=ttyS0 crashkernel=1152K");
    expect(cmdline("--memory=1G")).toBe("console=ttyS0 crashkernel=16M");
  });

  it("gives words of --append precedence over defaults of the same name", () => {
    expect(cmdline("--append", "crashkernel=1M@32M quiet")).toBe("console=ttyS0 crashkernel=1M@32M quiet");
    expect(cmdline("--append=console=tty0")).toBe("crashkernel=4M console=tty0");
    expect(cmdline("--append", "crashkernel=1M crashkernel=2M")).toBe(
      "console=ttyS0 crashkernel=1M crashkernel=2M",
    );
  });

  it("passes the crash type on", () => {
    expect(cmdline("--crash", "none")).toBe("console=ttyS0 crashkernel=4M wkdump.crash=none");
    expect(cmdline("--crash", "sysrq-c")).toBe("console=ttyS0 crashkernel=4M");
  });

  it("takes several injections", () => {
    const args = ["--inject", "phys=0x200000,xor=0x80,at=panic", "--inject", "at=capture,xor=1,phys=4M"];
    expect(parseBootFlags(args).inject).toEqual([
      { phys: 0x200000, xor: 0x80, at: "panic" },
      { phys: 4 << 20, xor: 1, at: "capture" },
    ]);
  });
});
