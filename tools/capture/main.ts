/** `wkdump capture`: the second half of a boot, in a process of its own. */
import { currentHost } from "../../runtime/adapter/index.ts";
import type { Terminal } from "../../runtime/adapter/terminal.ts";
import { type BootResult, resume, SnapshotError } from "../../runtime/index.ts";
import { readAsset } from "../assets.ts";
import { Complaints } from "../boot/complaints.ts";
import { parseInjection } from "../boot/options.ts";
import { OUT_DEFAULT, openOut } from "../boot/out.ts";
import { report } from "../boot/report.ts";
import { Story } from "../boot/story.ts";
import { SystemMap } from "../crashed/system-map.ts";
import { CommandError, type FlagForm, parseFlags, UsageError } from "../flags.ts";
import { machinePrograms } from "../init/programs.ts";

export const HELP = `wkdump capture - go on from memory that was saved at the jump into purgatory

Usage: wkdump capture FILE [FLAGS]

FILE was left by wkdump boot --stop-at purgatory --save-memory FILE. Nothing but
that memory is carried over: purgatory, the capture kernel and its command line
are found in it. The dump is the one that the first process would have saved.

  --out DIR         the machine's /var/crash (./var/crash)
  --inject 'phys=ADDR,xor=BYTE,at=purgatory|capture'
                    change a byte of memory on the way
  --json            one JSON object on stdout and nothing else
  --quiet           print only where the dump is
  --help            print this text

Exit status:
  0  the dump was saved
  1  it was not; the reason is on standard error
  2  wrong usage
`;

const FORMS: Record<string, FlagForm> = {
  "--out": { value: "DIR" },
  "--inject": { value: "'phys=ADDR,xor=BYTE,at=purgatory|capture'", many: true },
  "--json": { value: "switch" },
  "--quiet": { value: "switch" },
};

export async function run(terminal: Terminal, args: readonly string[]): Promise<number> {
  const { values, operands } = parseFlags(FORMS, args);
  const [file, ...more] = operands;
  if (file === undefined)
    throw new UsageError("which FILE? boot --stop-at purgatory --save-memory FILE makes one");
  if (more.length > 0) throw new UsageError(`unexpected argument ${more[0]}`);
  const inject = (values.get("--inject") ?? []).map(parseInjection);
  if (inject.some(({ at }) => at === "panic")) {
    throw new UsageError("--inject at=panic: that moment has passed in saved memory, give it to boot");
  }
  const options = {
    out: values.get("--out")?.[0] ?? OUT_DEFAULT,
    json: values.has("--json"),
    quiet: values.has("--quiet"),
  };
  // Before --out is made: a wrong name should leave nothing behind.
  const pieces = terminal.readChunks(file);
  const hostfs = openOut(options.out);
  const host = currentHost();
  const story = options.json || options.quiet ? undefined : new Story(terminal, () => host.monotonic_ms());
  const complaints = new Complaints();
  let result: BootResult;
  try {
    result = await resume(pieces, {
      console: (bytes) => {
        complaints.console(bytes);
        story?.console(bytes);
      },
      hostfs,
      host,
      programs: machinePrograms(),
      inject,
      onPhase: (phase) => story?.phase(phase),
    });
  } catch (error) {
    if (error instanceof SnapshotError) throw new CommandError(`${file}: ${error.message}`);
    throw error;
  } finally {
    story?.end();
  }
  return report(terminal, result, "captured", {
    ...options,
    complaint: complaints.text,
    hostfs,
    symbols: () => SystemMap.parse(readAsset(terminal, "System.map")),
  });
}
