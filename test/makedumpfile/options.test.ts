import { describe, expect, it } from "vitest";
import { duration } from "../../tools/makedumpfile/messages.ts";
import { INVALID, ML, OptionError, parseOptions } from "../../tools/makedumpfile/options.ts";

const error = (...args: string[]): OptionError => {
  try {
    parseOptions(args);
  } catch (thrown) {
    if (thrown instanceof OptionError) return thrown;
    throw thrown;
  }
  throw new Error(`${args.join(" ")} was accepted`);
};

describe("makedumpfile's options", () => {
  it("come in one word or several, before operands or behind", () => {
    const wanted = { codec: "lzo", levels: [31], force: true, operands: ["vmcore", "dump"] };
    for (const line of ["-lfd31 vmcore dump", "-l -f -d 31 vmcore dump", "vmcore -l dump -d31 -f"]) {
      expect(parseOptions(line.split(" "))).toMatchObject(wanted);
    }
    expect(parseOptions(["--message-level=31", "a", "b"]).messageLevel).toBe(31);
    expect(parseOptions(["--dump", "a", "b"]).mode).toBe("dmesg");
    expect(parseOptions(["--", "-l", "b"])).toMatchObject({ codec: null, operands: ["-l", "b"] });
  });

  it("of several codecs and lists of levels the last counts", () => {
    const line = ["-c", "-l", "-d", "3", "-z", "-d", "1,,16,31", "a", "b"];
    expect(parseOptions(line)).toMatchObject({ codec: "zstd", levels: [1, 16, 31] });
    expect(parseOptions(["-d", ",", "a", "b"]).levels).toEqual([0]);
    const many = (count: number) => Array.from({ length: count }, () => "1").join(",");
    expect(parseOptions(["-d", many(32), "a", "b"]).levels).toHaveLength(32);
    expect(error("-d", many(33), "a", "b").message).toBe("Dump_level is invalid.");
  });

  it.each([
    ["1", 1],
    ["5k", 5120],
    ["3M", 3 << 20],
    ["2g", 2 ** 31],
    ["0x10", 16],
    ["010", 8],
    ["0x1eK", 30 * 1024],
    ["1E", 2 ** 60],
  ])("-L %s is a limit of %d bytes", (text, bytes) => {
    expect(parseOptions(["-L", text, "a", "b"]).limit).toBe(bytes);
  });

  it.each(["", "0", "0k", "k", "5z", "5kk", "08", "0x", "16E", "a"])("-L '%s' is no limit", (text) => {
    expect(error("-L", text, "a", "b").message).toBe(`Limit size(${text}) is invalid.`);
  });

  it("of several modes the original's first is done", () => {
    expect(parseOptions(["--dump-dmesg", "-R", "a"]).mode).toBe("rearrange");
    expect(parseOptions(["--mem-usage", "a"]).mode).toBe("mem-usage");
    expect(parseOptions(["--mem-usage", "--dump-dmesg", "a", "b"]).mode).toBe("dmesg");
    expect(parseOptions(["-v", "-h"]).mode).toBe("help");
  });

  it("of ours: pages by number or by address", () => {
    const { explain, mode } = parseOptions([
      "--explain",
      "0x12",
      "--explain=7",
      "--explain",
      "18446612682071080960",
      "a",
    ]);
    expect([mode, explain]).toEqual(["explain", [0x12n, 7n, 0xffff888000100000n]]);
    for (const text of ["page", "", "-1", "0x10000000000", "99999999999999999999"]) {
      expect(error("--explain", text, "a").message).toBe(`Page number(${text}) is invalid.`);
    }
    expect(error("--explain", "1", "a", "b").message).toBe(INVALID);
    expect(error("--vtop", "zzz", "a", "b").message).toBe("Virtual address(zzz) is invalid.");
  });

  it("say how much is said", () => {
    const level = (...args: string[]) => parseOptions([...args, "a", "b"]).messageLevel;
    expect([level(), level("-D"), level("--show-stats")]).toEqual([7, 7 | ML.debug, 7 | ML.report]);
    expect(level("-D", "--message-level", "2")).toBe(2 | ML.debug);
    expect(level("--check-params", "-D", "--message-level", "31")).toBe(7);
  });

  it("that change nothing in the dump are accepted", () => {
    const line = "-b 2 --cyclic-buffer 64 --non-cyclic --non-mmap --num-threads 2 --work-dir /tmp -d 1 a b";
    expect(parseOptions(line.split(" "))).toMatchObject({ levels: [1], operands: ["a", "b"] });
  });

  it("that are wrong are refused as getopt and the original do", () => {
    expect(error("-l").message).toBe(INVALID);
    expect(error("-F", "a", "b").message).toBe(INVALID);
    expect(error("-R").message).toBe(INVALID);
    expect(error("--reassemble", "a", "b").message).toBe(INVALID);
    expect(error("-Q").getopt).toBe("makedumpfile: invalid option -- 'Q'");
    expect(error("-d").getopt).toBe("makedumpfile: option requires an argument -- 'd'");
    expect(error("--frob", "a", "b").getopt).toBe("makedumpfile: unrecognized option '--frob'");
    expect(error("--s", "a", "b").getopt).toBe(
      "makedumpfile: option '--s' is ambiguous; possibilities: '--split' '--splitblock-size' '--show-stats'",
    );
    expect(error("--split=3", "a", "b").getopt).toMatch(/'--split' doesn't allow an argument/);
    expect(error("-d", "1,99", "a", "b").message).toBe("Dump_level(99) is invalid.");
    expect(error("-X", "a", "b").message).toMatch(/^-X \(Xen\) is not supported/);
  });

  it("name what tells more of the kernel", () => {
    const sources = (line: string) => parseOptions(line.split(" ")).sources;
    expect(sources("-x vmlinux --config rules a b")).toEqual({
      vmlinux: "vmlinux",
      vmcoreinfo: null,
      config: "rules",
    });
    expect(sources("-i info a b")).toMatchObject({ vmlinux: null, vmcoreinfo: "info" });
    expect(parseOptions(["-g", "info", "-x", "vmlinux"])).toMatchObject({
      mode: "generate",
      generated: "info",
    });
    for (const line of ["-x v -i i a b", "--config c a b", "-i i --config c a b", "-g i", "-g i -x v a"]) {
      expect(error(...line.split(" ")).message).toBe(INVALID);
    }
    const dry = error("-g", "i", "-x", "v", "--dry-run").message;
    expect(dry).toBe(`--dry-run cannot be used with -g.\n${INVALID}`);
  });

  it("say how many threads there are, as atoi() reads it", () => {
    const threads = (value: string) => parseOptions(["--num-threads", value, "a", "b"]).threads;
    expect(["3", "2x", "0", "-4", "many"].map(threads)).toEqual([3, 2, 0, 0, 0]);
    expect(parseOptions(["a", "b"]).threads).toBeNull();
    const refused = error("--num-threads", "2", "--split", "a", "b", "c").message;
    expect(refused).toBe(`--num-threads cannot used with --split.\n${INVALID}`);
    expect(error("--num-threads", "2", "-E", "a", "b").message).toMatch(
      /^--num-threads cannot used with ELF/,
    );
    expect(parseOptions(["--num-threads", "0", "-E", "a", "b"]).elf).toBe(true);
    expect(parseOptions(["--num-threads", "2", "--dump-dmesg", "a", "b"]).mode).toBe("dmesg");
  });
});

describe("the time that is left", () => {
  it.each([
    [0, "0s"],
    [99.9, "99s"],
    [100, "1m40s"],
    [5999, "99m59s"],
    [6000, "1h40m"],
    [400_000, "4d15h"],
    [9e6, ">100day"],
  ])("of %d seconds is %s", (seconds, text) => {
    expect(duration(seconds)).toBe(text);
  });
});
