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
    const wanted = { codec: "lzo", level: 31, force: true, operands: ["vmcore", "dump"] };
    for (const line of ["-lfd31 vmcore dump", "-l -f -d 31 vmcore dump", "vmcore -l dump -d31 -f"]) {
      expect(parseOptions(line.split(" "))).toMatchObject(wanted);
    }
    expect(parseOptions(["--message-level=31", "a", "b"]).messageLevel).toBe(31);
    expect(parseOptions(["--dump", "a", "b"]).mode).toBe("dmesg");
    expect(parseOptions(["--", "-l", "b"])).toMatchObject({ codec: null, operands: ["-l", "b"] });
  });

  it("of several codecs the last counts; of several levels the first", () => {
    expect(parseOptions(["-c", "-l", "-z", "-d", "31,1", "a", "b"])).toMatchObject({
      codec: "zstd",
      level: 31,
    });
  });

  it("say how much is said", () => {
    const level = (...args: string[]) => parseOptions([...args, "a", "b"]).messageLevel;
    expect([level(), level("-D"), level("--show-stats")]).toEqual([7, 7 | ML.debug, 7 | ML.report]);
  });

  it("that change nothing in the dump are accepted", () => {
    const line = "-b 2 --cyclic-buffer 64 --non-cyclic --non-mmap --num-threads 2 --work-dir /tmp -d 1 a b";
    expect(parseOptions(line.split(" "))).toMatchObject({ level: 1, operands: ["a", "b"] });
  });

  it("that are wrong are refused as getopt and the original do", () => {
    expect(error("-l").message).toBe(INVALID);
    expect(error("-F", "a", "b").message).toBe(INVALID);
    expect(error("-R").message).toBe(INVALID);
    expect(error("--reassemble", "a", "b").message).toBe(INVALID);
    expect(error("-Q").getopt).toBe("makedumpfile: invalid option -- 'Q'");
    expect(error("-d").getopt).toBe("makedumpfile: option requires an argument -- 'd'");
    expect(error("--s", "a", "b").getopt).toBe("makedumpfile: unrecognized option '--s'");
    expect(error("--split=3", "a", "b").getopt).toMatch(/'--split' doesn't allow an argument/);
    expect(error("-d", "1,99", "a", "b").message).toBe("Dump_level(99) is invalid.");
    expect(error("-x", "vmlinux", "a", "b").message).toMatch(/^-x \(types from a vmlinux\) is not supported/);
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
