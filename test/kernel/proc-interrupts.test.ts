/**
 * What /proc/interrupts says of the timer and of NMIs, and that time passes while a program sleeps or works.
 */
import { describe, expect, it } from "vitest";
import { readText, runInKernel } from "../support/kernel-program.ts";

function counts(text: string): Record<string, number> {
  return Object.fromEntries(
    [...text.matchAll(/^(NMI|LOC|SPU|RES): +(\d+) {3}[A-Z][a-z-]+ /gm)].map((it) => [it[1], Number(it[2])]),
  );
}

describe("/proc/interrupts", () => {
  it("counts the timer's interrupts as time passes, and NMIs", async () => {
    const seen: Record<string, number>[] = [];
    const { console } = await runInKernel(async (proc, machine) => {
      seen.push(counts(await readText(proc, "/proc/interrupts")));
      for (let i = 0; i < 50; i++) await readText(proc, "/proc/meminfo", 100);
      machine.apic.raiseNmi();
      await proc.getpid();
      seen.push(counts(await readText(proc, "/proc/interrupts")));
    });
    const [before, after] = seen;
    expect(Object.keys(before ?? {})).toEqual(["NMI", "LOC", "SPU", "RES"]);
    expect(before?.NMI).toBe(0);
    expect(after?.NMI).toBe(1);
    expect(after?.SPU).toBe(0);
    expect(after?.LOC).toBeGreaterThan(before?.LOC ?? 0);
    expect(console).toContain("Uhhuh. NMI received for unknown reason 00 on CPU 0.");
  });

  it("an NMI is a panic with unknown_nmi_panic on the command line", async () => {
    const { console, result } = await runInKernel(
      async (proc, machine) => {
        machine.apic.raiseNmi();
        await proc.getpid();
      },
      { cmdline: "console=ttyS0 unknown_nmi_panic" },
    );
    expect(result.outcome).toBe("not-captured");
    expect(console).toContain("Kernel panic - not syncing: NMI: Not continuing");
  });
});
