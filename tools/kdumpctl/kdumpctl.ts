/**
 * kdumpctl: the kdump service. `start` loads the capture kernel with kexec, as /etc/sysconfig/kdump says;
 * `stop` unloads it. Command line and texts are those of kdump-utils.
 */
import type { Proc, Program } from "../../runtime/user/proc.ts";
import { echo, type Run, readText, words } from "../init/exec.ts";
import { parseKdumpConf, parseSysconfig } from "./config.ts";

const SYSCONFIG = "/etc/sysconfig/kdump";
const KDUMP_CONF = "/etc/kdump.conf";

export function kdumpctl(run: Run): Program {
  const subcommands: Record<string, (proc: Proc) => Promise<number>> = {
    start: (proc) => start(proc, run),
    stop: (proc) => stop(proc, run),
  };
  return async (proc) => {
    const name = proc.argv[1] ?? "";
    if (Object.hasOwn(subcommands, name)) return subcommands[name]!(proc);
    await proc.write(2, `kdump: Usage: kdumpctl {${Object.keys(subcommands).join("|")}}\n`);
    return 1;
  };
}

async function start(proc: Proc, run: Run): Promise<number> {
  if ((await load(proc, run)) === 0) {
    await echo(proc, "kdump: kexec: loaded kdump kernel");
    await echo(proc, "kdump: Starting kdump: [OK]");
    return 0;
  }
  await echo(proc, "kdump: kexec: failed to load kdump kernel");
  await echo(proc, "kdump: Starting kdump: [FAILED]");
  return 1;
}

async function load(proc: Proc, run: Run): Promise<number> {
  // A mistake in the file would otherwise show only after the crash, when nobody can mend it.
  parseKdumpConf(await readText(proc, KDUMP_CONF));
  const settings = parseSysconfig(await readText(proc, SYSCONFIG));
  const setting = (name: string): string => settings.get(name) ?? "";
  const cmdline = captureCommandLine(
    setting("KDUMP_COMMANDLINE") || (await readText(proc, "/proc/cmdline")),
    {
      remove: words(setting("KDUMP_COMMANDLINE_REMOVE")),
      append: words(setting("KDUMP_COMMANDLINE_APPEND")),
    },
  );
  const boot = setting("KDUMP_BOOTDIR");
  return run(proc, [
    "kexec",
    ...words(setting("KEXEC_ARGS")),
    "-p",
    `--command-line=${cmdline}`,
    `--initrd=${boot}/initramfs-kdump.img`,
    `${boot}/${setting("KDUMP_IMG")}`,
  ]);
}

async function stop(proc: Proc, run: Run): Promise<number> {
  if ((await run(proc, ["kexec", "-s", "-p", "-u"])) === 0) {
    await echo(proc, "kdump: kexec: unloaded kdump kernel");
    await echo(proc, "kdump: Stopping kdump: [OK]");
    return 0;
  }
  await echo(proc, "kdump: kexec: failed to unload kdump kernel");
  await echo(proc, "kdump: Stopping kdump: [FAILED]");
  return 1;
}

/**
 * The capture kernel's command line: the running one's words without crashkernel= (the capture kernel has no
 * crash of its own to reserve for) and those to remove, then those to append.
 */
export function captureCommandLine(cmdline: string, change: { remove: string[]; append: string[] }): string {
  const gone = new Set(["crashkernel", ...change.remove]);
  const kept = words(cmdline).filter((word) => !gone.has(word.split("=")[0]!));
  return [...kept, ...change.append].join(" ");
}
