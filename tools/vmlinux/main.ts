/** `wkdump vmlinux`: the debug kernel, as the build made it. */
import type { Terminal } from "../../runtime/adapter/terminal.ts";
import { readAsset } from "../assets.ts";
import { type FlagForm, parseFlags, UsageError } from "../flags.ts";
import { readableSize } from "../size.ts";
import { buildIdOf } from "./build-id.ts";

export const HELP = `wkdump vmlinux - write the debug kernel that goes with the dumps

Usage: wkdump vmlinux -o FILE [--json]

An ELF executable with the kernel's symbols, types, source lines and call frames
(DWARF 4), for crash, gdb, drgn and makedumpfile -x. It is the same for every
dump of this build of wkdump; its build id is the BUILD-ID in their VMCOREINFO.

  -o FILE           where to; a file of this name is replaced once the new one
                    is complete
  --json            print {"vmlinux", "bytes", "build_id"} on stdout
  --help            print this text

Source lines are relative to the project's folder: start the debugger there, or
tell it with gdb's "directory FOLDER".

Exit status:
  0  done
  1  FILE could not be written
  2  wrong usage
`;

const FORMS: Record<string, FlagForm> = { "-o": { value: "FILE" }, "--json": { value: "switch" } };

export async function run(terminal: Terminal, args: readonly string[]): Promise<number> {
  const { values, operands } = parseFlags(FORMS, args);
  if (operands.length > 0) throw new UsageError(`unexpected argument ${operands[0]}`);
  const name = values.get("-o")?.[0];
  if (name === undefined || name === "") throw new UsageError("where to? -o FILE says it");
  const bytes = readAsset(terminal, "vmlinux");
  const file = terminal.createFile(name);
  try {
    file.write(bytes);
    file.finish();
  } finally {
    file.discard();
  }
  const report = { vmlinux: terminal.absolute(name), bytes: bytes.length, build_id: buildIdOf(bytes) };
  if (values.has("--json")) terminal.out(`${JSON.stringify(report)}\n`);
  else {
    terminal.out(`${terminal.display(name)}: ${readableSize(bytes.length)}, build id ${report.build_id}\n`);
  }
  return 0;
}
