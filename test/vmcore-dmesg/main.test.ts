import { describe, expect, it } from "vitest";
import { HELP, main } from "../../tools/vmcore-dmesg/main.ts";
import { MOCK, mockLogBuf, mockPrb } from "../support/log.ts";
import { runProgram } from "../support/proc.ts";
import { bytesOf } from "../support/vmcore.ts";

const run = (args: string[], files: Record<string, Uint8Array> = {}) =>
  runProgram(main, ["vmcore-dmesg", ...args], files);

describe("vmcore-dmesg", () => {
  it("prints the log of a vmcore, and nothing else", async () => {
    const kernel = mockPrb();
    kernel.log.add("Linux version 5.15.0-mock", { ts_nsec: 0n });
    kernel.log.add("two\nlines\x1b", { ts_nsec: 1_000_042_000n });
    kernel.log.add("", { ts_nsec: 2_000_000_000n });
    expect(await run(["/proc/vmcore"], { "/proc/vmcore": kernel.build() })).toEqual({
      status: 0,
      stdout: "[    0.000000] Linux version 5.15.0-mock\n[    1.000042] two\nlines\\x1b\n[    2.000000] \n",
      stderr: "",
    });
  });

  it("prints nothing for an empty log", async () => {
    expect(await run(["vmcore"], { vmcore: mockPrb().build() })).toEqual({
      status: 0,
      stdout: "",
      stderr: "",
    });
  });

  it("prints a character log byte for byte", async () => {
    const kernel = mockLogBuf(256, ["log_buf", "log_buf_len", "log_end", "logged_chars"]);
    kernel.memory.bytes.set(bytesOf("<6>raw \xe9\x01\n"), MOCK.text);
    kernel.memory.u32(MOCK.logEnd, 10);
    expect((await run(["vmcore"], { vmcore: kernel.build() })).stdout).toBe("<6>raw \xe9\x01\n");
  });

  it("prints more than one piece of output", async () => {
    const kernel = mockPrb({ countBits: 10, sizeBits: 18 });
    const text = "y".repeat(240);
    for (let n = 0; n < 1000; n++) kernel.log.add(text);
    const { stdout } = await run(["vmcore"], { vmcore: kernel.build() });
    expect(stdout).toBe(`[    0.000000] ${text}\n`.repeat(1000));
  });

  it("gives what a vmcore that was cut off still holds, and says so on standard error", async () => {
    const kernel = mockPrb();
    kernel.log.add("still here");
    const { status, stdout, stderr } = await run(["vmcore"], { vmcore: kernel.build().subarray(0, -0x1000) });
    expect(status).toBe(0);
    expect(stdout).toBe("[    0.000000] still here\n");
    expect(stderr).toMatch(/^vmcore-dmesg: vmcore: program header 2: bytes .* lie beyond the file's end/);
  });

  it("does not flood standard error", async () => {
    const kernel = mockPrb();
    for (let n = 0; n < 60; n++) kernel.log.add("text");
    kernel.memory.u64(MOCK.ringbuffer + 48 + 8, 0xffff888000200000n);
    const { status, stdout, stderr } = await run(["vmcore"], { vmcore: kernel.build() });
    expect([status, stdout]).toEqual([0, ""]);
    expect(stderr.trim().split("\n")).toHaveLength(9);
    expect(stderr).toContain("and 52 problems more");
  });

  it("says what is wrong with a file that is no vmcore", async () => {
    const { status, stdout, stderr } = await run(["vmcore"], { vmcore: bytesOf("not a vmcore at all") });
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(
      /^vmcore-dmesg: vmcore, offset 0x0: the file does not begin with ELF's magic number/,
    );
  });

  it("says that a file is not there", async () => {
    expect(await run(["nowhere"])).toEqual({
      status: 1,
      stdout: "",
      stderr: "vmcore-dmesg: Cannot open nowhere: No such file or directory\n",
    });
  });

  it("prints its help, and its usage when used wrongly", async () => {
    expect(await run(["--help"])).toEqual({ status: 0, stdout: HELP, stderr: "" });
    for (const args of [[], ["a", "--frob"], ["--frob"]]) {
      const { status, stdout, stderr } = await run(args);
      expect([status, stdout]).toEqual([2, ""]);
      expect(stderr).toContain("usage: vmcore-dmesg <kernel core file>\n");
    }
    expect((await run(["--frob"])).stderr).toContain("unknown option --frob");
  });
});
