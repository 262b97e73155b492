/**
 * Stock readelf, makedumpfile and vmcore-dmesg accept our dump without a warning, and see what the crashed
 * kernel knew.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BootDump, bootDump, reported } from "../support/boot.ts";
import { describeStock, stock } from "../support/stock.ts";
import { MACHINES } from "./matrix.ts";

/** Lines that makedumpfile prints when all is well; anything else is a warning. */
const QUIET = [
  /^(Copying data|Checking for memory holes|Excluding unnecessary pages|Excluding free pages) *: \[/,
  /^The (dumpfile|dmesg log) is saved to .*\.$/,
  /^makedumpfile Completed\.$/,
];

function warnings(output: string): string[] {
  const lines = output.split(/[\r\n]/).map((line) => line.trim());
  return lines.filter((line) => line !== "" && !QUIET.some((form) => form.test(line)));
}

describe.each(MACHINES)("the dump of $name", (machine) => {
  let dump: BootDump;
  beforeAll(() => {
    dump = bootDump(machine.flags);
  });
  afterAll(() => dump?.remove());

  const made = (name: string, args: readonly string[]) => {
    const path = join(dump.directory, name);
    const result = stock("makedumpfile", [...args, dump.vmcore, path]);
    return { ...result, path };
  };

  describeStock(["readelf"], "readelf", () => {
    it("-lnW has nothing to warn of", () => {
      const { status, stdout, stderr } = stock("readelf", ["-lnW", dump.vmcore]);
      expect([status, stderr]).toEqual([0, ""]);
      expect(stdout).not.toMatch(/warning|error|corrupt|<.*>/i);
      expect(stdout).toMatch(/CORE\s+0x00000150\s+NT_PRSTATUS/);
      expect(stdout).toMatch(/VMCOREINFO\s+0x/);
    });
  });

  describeStock(["makedumpfile"], "makedumpfile", () => {
    it.each([
      ["-d 31 -c", ["-d", "31", "-c"]],
      ["-d 31 -l", ["-d", "31", "-l"]],
      ["-d 31 -E", ["-d", "31", "-E"]],
      ["--dump-dmesg", ["--dump-dmesg"]],
    ])("%s exits 0 without a warning", (name, args) => {
      const { status, output } = made(`quiet${name.replaceAll(" ", "")}`, args);
      expect(warnings(output)).toEqual([]);
      expect(status).toBe(0);
    });

    it("counts the pages of each class as the kernel did, free ones by NR_FREE_PAGES", () => {
      const { status, output } = made("counted", ["-d", "31", "-c", "--message-level", "31"]);
      expect(status).toBe(0);
      expect(reported(output, "Free pages")).toBe(dump.json.pages.free);
      expect(reported(output, "Non-private cache pages")).toBe(dump.json.pages.cache);
      expect(reported(output, "User process data pages")).toBe(dump.json.pages.user);
      expect(reported(output, "Pages filled with zero")).toBe(dump.json.pages.zero);
      expect(reported(output, "Hwpoison pages")).toBe(dump.json.pages.hwpoison);
      expect(reported(output, "Offline pages")).toBe(dump.json.pages.offline);
    });

    it("counts all pages that the kernel has", () => {
      const { output } = made("total", ["-d", "31", "-c", "--message-level", "31"]);
      expect(reported(output, "Total pages") - reported(output, "Memory Hole")).toBe(
        reported(output, "Original pages"),
      );
      expect(reported(output, "Original pages")).toBe(dump.json.pages.total);
    });

    it("--dump-dmesg gives the text of vmcore-dmesg.txt", () => {
      const { path } = made("dmesg", ["--dump-dmesg"]);
      // makedumpfile indents the further lines of a record by the width of its time.
      const plain = (text: string) => text.split("\n").map((line) => line.replace(/^\s+/, ""));
      expect(plain(readFileSync(path, "latin1"))).toEqual(plain(dump.dmesg));
    });
  });

  describeStock(["vmcore-dmesg"], "vmcore-dmesg", () => {
    it("gives vmcore-dmesg.txt to the byte", () => {
      const { status, stdout, stderr } = stock("vmcore-dmesg", [dump.vmcore]);
      expect([status, stderr]).toEqual([0, ""]);
      expect(stdout).toBe(dump.dmesg);
    });
  });
});
