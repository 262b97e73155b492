/**
 * kdump: what runs in the capture kernel, after kdump.sh of dracut's kdumpbase module. Saves the log and the
 * memory of the crashed kernel under temporary names, syncs, renames, and restarts the machine; nothing is
 * ever overwritten.
 *
 *     /var/crash/127.0.0.1-YYYY-MM-DD-HH:MM:SS/vmcore-dmesg.txt
 *     /var/crash/127.0.0.1-YYYY-MM-DD-HH:MM:SS/vmcore       (vmcore.flat: what makedumpfile -F writes)
 *
 * The core_collector is a program, or a WebAssembly component, which is known by its first bytes.
 */
import {
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_WRONLY,
  type Proc,
  type Program,
  SyscallError,
} from "../../runtime/user/proc.ts";
import { collect, isWebAssembly } from "../collector/collect.ts";
import { CollectorError } from "../collector/error.ts";
import { DumpError } from "../dump/error.ts";
import { echo, exists, type Run, readText, words } from "../init/exec.ts";
import { REBOOT_CMD_HALT, REBOOT_CMD_POWER_OFF, REBOOT_CMD_RESTART } from "../init/reboot.ts";
import { strerror } from "../strerror.ts";
import { type Action, ConfigError, type KdumpConf, parseKdumpConf } from "./config.ts";

const VMCORE = "/proc/vmcore";
const HOST = "127.0.0.1";
/** How many directories of one second are tried before giving up: .1 to .999. */
const SUFFIX_MAX = 999;

const REBOOT_CMD: Record<Action, number> = {
  reboot: REBOOT_CMD_RESTART,
  halt: REBOOT_CMD_HALT,
  poweroff: REBOOT_CMD_POWER_OFF,
};

const say = (proc: Proc, text: string): Promise<void> => echo(proc, `kdump: ${text}`);

export function kdump(run: Run): Program {
  return async (proc) => {
    let saved = false;
    let conf = parseKdumpConf("");
    try {
      conf = parseKdumpConf(await readText(proc, "/etc/kdump.conf"));
      saved = await save(proc, run, conf);
    } catch (error) {
      if (error instanceof SyscallError) {
        await say(proc, `${error.syscall} ${error.path ?? ""}: ${strerror(error)}`);
      } else if (error instanceof ConfigError) await say(proc, error.message);
      else throw error;
    }
    const action = saved ? conf.final_action : conf.failure_action;
    await say(proc, `Executing ${saved ? "final" : "failure"} action ${action}`);
    await proc.reboot(REBOOT_CMD[action]);
    return saved ? 0 : 1;
  };
}

async function save(proc: Proc, run: Run, conf: KdumpConf): Promise<boolean> {
  if (!(await exists(proc, VMCORE))) {
    await say(proc, `${VMCORE} does not exist: there is nothing to save`);
    return false;
  }
  const directory = await makeDirectory(proc, conf.path);
  await say(proc, `saving to ${directory}`);
  // A dump without its log is worth saving, so that a failure here does not end it.
  await saveDmesg(proc, run, directory);
  return saveVmcore(proc, run, conf, directory);
}

/** Makes PATH/127.0.0.1-DATE, or the first of DATE.1, DATE.2 ... that does not exist. */
async function makeDirectory(proc: Proc, path: string): Promise<string> {
  const parts = path.split("/").filter((part) => part !== "");
  for (let depth = 1; depth <= parts.length; depth++) {
    const parent = `/${parts.slice(0, depth).join("/")}`;
    if (!(await exists(proc, parent))) await proc.mkdir(parent, 0o755);
  }
  const name = `/${parts.join("/")}/${HOST}-${dateStamp(await proc.time())}`;
  for (let suffix = 0; ; suffix++) {
    const directory = suffix === 0 ? name : `${name}.${suffix}`;
    try {
      await proc.mkdir(directory, 0o755);
      return directory;
    } catch (error) {
      if (!(error instanceof SyscallError) || error.code !== "EEXIST" || suffix === SUFFIX_MAX) throw error;
    }
  }
}

/** `date +%Y-%m-%d-%T` in UTC, the machine's time zone. */
export function dateStamp(seconds: number): string {
  const iso = new Date(seconds * 1000).toISOString();
  return `${iso.slice(0, 10)}-${iso.slice(11, 19)}`;
}

async function saveDmesg(proc: Proc, run: Run, directory: string): Promise<void> {
  const incomplete = `${directory}/vmcore-dmesg-incomplete.txt`;
  await say(proc, `saving vmcore-dmesg.txt to ${directory}/`);
  try {
    const fd = await proc.open(incomplete, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    const status = await run(proc, ["vmcore-dmesg", VMCORE], fd);
    await proc.fsync(fd);
    await proc.close(fd);
    if (status === 0) {
      await proc.rename(incomplete, `${directory}/vmcore-dmesg.txt`, { noReplace: true });
      await syncDirectory(proc, directory);
      await say(proc, "saving vmcore-dmesg.txt complete");
      return;
    }
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    await say(proc, `${error.syscall} ${error.path ?? ""}: ${strerror(error)}`);
  }
  await say(proc, "saving vmcore-dmesg.txt failed");
}

async function saveVmcore(proc: Proc, run: Run, conf: KdumpConf, directory: string): Promise<boolean> {
  const incomplete = `${directory}/vmcore-incomplete`;
  await say(proc, "saving vmcore");
  const collector = words(conf.core_collector);
  const [file = "", ...args] = collector;
  const component = file.startsWith("/") && (await exists(proc, file)) && (await isWebAssembly(proc, file));
  const flattened = !component && collector.includes("-F");
  const status = component
    ? await runComponent(proc, file, args, incomplete)
    : flattened
      ? await runInto(proc, run, [...collector, VMCORE], incomplete)
      : await run(proc, [...collector, VMCORE, incomplete]);
  if (status !== 0) {
    await say(proc, `saving vmcore failed, exitcode:${status}`);
    return false;
  }
  try {
    const fd = await proc.open(incomplete, O_RDONLY);
    await proc.fsync(fd);
    await proc.close(fd);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    await say(proc, `sync vmcore failed, exitcode:1 (${strerror(error)})`);
    return false;
  }
  await proc.rename(incomplete, `${directory}/vmcore${flattened ? ".flat" : ""}`, { noReplace: true });
  await syncDirectory(proc, directory);
  await say(proc, "saving vmcore complete");
  return true;
}

/** Runs a program whose standard output is a new file: as `| dd of=FILE` where kdump sends a stream. */
async function runInto(proc: Proc, run: Run, argv: readonly string[], path: string): Promise<number> {
  const fd = await proc.open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600);
  try {
    return await run(proc, argv, fd);
  } finally {
    await proc.close(fd);
  }
}

/** A WebAssembly component as the collector (tools/collector): it is given /proc/vmcore and the new file. */
async function runComponent(
  proc: Proc,
  collector: string,
  args: readonly string[],
  output: string,
): Promise<number> {
  try {
    const said = await collect(proc, { collector, vmcore: VMCORE, output, args });
    if (said !== "") await say(proc, said);
    return 0;
  } catch (error) {
    if (error instanceof SyscallError) {
      await say(proc, `${collector}: ${error.syscall} ${error.path ?? output}: ${strerror(error)}`);
    } else if (error instanceof CollectorError || error instanceof DumpError) {
      await say(proc, `${collector}: ${error.message}`);
    } else throw error;
    return 1;
  }
}

/** A rename lasts only when the directory is on the disk too. */
async function syncDirectory(proc: Proc, directory: string): Promise<void> {
  const fd = await proc.open(directory, O_RDONLY | O_DIRECTORY);
  await proc.fsync(fd);
  await proc.close(fd);
}
