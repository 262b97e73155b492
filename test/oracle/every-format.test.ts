/**
 * Every format, codec and level of our kernel's dump, and of a genuine Linux's where WKDUMP_GENUINE names a
 * directory with one: vmcore or vmcore.elf, perhaps with .zst behind it, is /proc/vmcore whole. Other files
 * vmcore.* are what makedumpfile -d 31 made of it; vmcore-dmesg.txt is its log.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { run } from "../support/stock.ts";
import { everyFormat } from "./every-format.ts";
import { makeDump } from "./features.ts";

const GENUINE = process.env.WKDUMP_GENUINE;
const WHOLE = /^vmcore(\.elf)?(\.zst)?$/;

describe("our kernel's dump", () => {
  everyFormat(() => {
    // Poisoned pages, which no level keeps, are in makedumpfile-command.test.ts.
    const options = { memory: "16M", seed: 21, workload: 60, cpus: 2, append: "crashkernel=1M" };
    const { vmcore, vmlinux, directory, dmesg } = makeDump({ options, wanted: () => true });
    const remove = () => rmSync(directory, { recursive: true, force: true });
    return { vmcore, vmlinux, dmesg, others: [], directory, remove };
  }, true);
});

if (GENUINE === undefined)
  describe.skip("a genuine dump (WKDUMP_GENUINE names no directory)", () => it("", () => {}));
else {
  const files = readdirSync(GENUINE).filter((name) => name.startsWith("vmcore") && !name.endsWith(".txt"));
  const whole = files.find((name) => WHOLE.test(name)) ?? "";

  describe(`the genuine dump ${whole}`, () => {
    everyFormat(() => {
      const directory = mkdtempSync(join(tmpdir(), "wkdump-"));
      let vmcore = join(GENUINE, whole);
      if (whole.endsWith(".zst")) {
        vmcore = join(directory, "vmcore");
        const { status, output } = run("zstd", ["-q", "-d", join(GENUINE, whole), "-o", vmcore]);
        expect(status, output).toBe(0);
      }
      const others = files.filter((name) => name !== whole).map((name) => join(GENUINE, name));
      const dmesg = readFileSync(join(GENUINE, "vmcore-dmesg.txt"), "latin1");
      return {
        vmcore,
        dmesg,
        others,
        directory,
        remove: () => rmSync(directory, { recursive: true, force: true }),
      };
    }, false);
  });
}
