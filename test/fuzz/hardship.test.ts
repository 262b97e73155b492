/** What a machine must bear, on one CPU and on several: each hardship, and memory that all want at once. */
import { describe, expect, it } from "vitest";
import { Random } from "../../runtime/machine/random.ts";
import { SIGKILL, SyscallError } from "../../runtime/user/proc.ts";
import { HARDSHIPS, takeMemory } from "../../tools/fuzz/hardship.ts";
import { runInKernel } from "../support/kernel-program.ts";

const TIMEOUT_MS = 60_000;
const LIMIT_MS = 60_000;
/** Nothing of it may go as far as this. */
const BAD_WORDS = /BUG:|WARNING:|Oops|Kernel panic|scheduling while atomic/;

describe.each([1, 4])("a machine of %i CPUs", (cpus) => {
  it.each([...HARDSHIPS.keys()])(
    "bears hardship %i, again and again",
    async (index) => {
      const random = new Random(index, "hardship");
      const { result, console } = await runInKernel(
        async (proc) => {
          for (let i = 0; i < 3; i++) await HARDSHIPS[index]?.(proc, random);
        },
        { cpus, memory: 12 << 20, limit: LIMIT_MS },
      );
      expect(result.outcome).toBe("powered-off");
      expect(console).not.toMatch(BAD_WORDS);
    },
    TIMEOUT_MS,
  );

  it(
    "bears programs that all want all of its memory",
    async () => {
      const statuses: number[] = [];
      const { result, console } = await runInKernel(
        async (proc) => {
          const pids: number[] = [];
          for (let i = 0; i < 6; i++) {
            try {
              pids.push(await proc.fork(takeMemory));
            } catch (error) {
              if (!(error instanceof SyscallError && error.code === "ENOMEM")) throw error;
            }
          }
          for (const pid of pids) statuses.push((await proc.wait(pid)).status);
        },
        { cpus, memory: 12 << 20, limit: LIMIT_MS },
      );
      expect(result.outcome).toBe("powered-off");
      expect(console).not.toMatch(BAD_WORDS);
      expect(console).toMatch(/Out of memory: Killed process \d+ \(init\)/);
      expect(statuses).toContain(SIGKILL);
      // Ended by itself when it was refused, without the memory for its first call, or killed.
      for (const status of statuses) expect([0, 1 << 8, SIGKILL]).toContain(status);
    },
    TIMEOUT_MS,
  );
});
