/** One number from three: /proc/meminfo before the crash, NR_FREE_PAGES at it, makedumpfile afterwards. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { currentHost, openDirectory } from "../../runtime/adapter/index.ts";
import { boot } from "../../runtime/index.ts";
import type { Proc, Program } from "../../runtime/user/proc.ts";
import { parseBootFlags } from "../../tools/boot/options.ts";
import { SystemMap } from "../../tools/crashed/system-map.ts";
import { readText } from "../../tools/init/exec.ts";
import { machinePrograms } from "../../tools/init/programs.ts";
import { built, reported } from "../support/boot.ts";
import { describeStock, stock } from "../support/stock.ts";

const TRIGGER = "/proc/sysrq-trigger";
/** Pages that reading /proc/meminfo itself holds while the number is made: the text, the file, its inode. */
const READING_PAGES = 8;

/** `proc`, which calls `before` when the crash is about to be written. */
function beforeCrash(proc: Proc, before: (proc: Proc) => Promise<void>): Proc {
  return new Proxy(proc, {
    get(target, key) {
      if (key === "open") {
        return async (path: string, flags: number, mode?: number) => {
          if (path === TRIGGER) await before(target);
          return target.open(path, flags, mode);
        };
      }
      const member: unknown = Reflect.get(target, key);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
}

describeStock(["makedumpfile"], "free pages", () => {
  const directory = mkdtempSync(join(tmpdir(), "wkdump-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("are the same for /proc/meminfo, the kernel's counter and makedumpfile", async () => {
    const symbols = SystemMap.parse(readFileSync(built("System.map")));
    let meminfo = "";
    let free = 0;
    const programs = machinePrograms();
    const init = programs.init as Program;
    programs.init = (proc) =>
      init(
        beforeCrash(proc, async (inside) => {
          meminfo = await readText(inside, "/proc/meminfo");
        }),
      );
    const { memory, cmdline } = parseBootFlags(["--memory", "64M"]);
    const result = await boot({
      image: readFileSync(built("vmlinuz")),
      initrd: readFileSync(built("initrd.img")),
      memory,
      cmdline,
      seed: 1,
      console: () => {},
      hostfs: openDirectory(directory),
      host: currentHost(),
      programs,
      onPhase: (phase, machine) => {
        if (phase === "panic") free = machine.memory.u64(symbols.physical("vm_zone_stat"));
      },
    });
    expect(result.outcome).toBe("captured");
    const told = Number(/^MemFree:\s+(\d+) kB$/m.exec(meminfo)?.[1]) / 4;
    expect(Math.abs(told - free)).toBeLessThanOrEqual(READING_PAGES);

    const vmcore = join(directory, result.vmcores[0] ?? "");
    const args = ["-d", "31", "-c", "--message-level", "31", vmcore, join(directory, "dump")];
    const { status, output } = stock("makedumpfile", args);
    expect(status).toBe(0);
    expect(reported(output, "Free pages")).toBe(free);
  });
});
