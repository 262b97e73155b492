/** insmod, rmmod, lsmod and modprobe: what kmod's programs do, in their words. */
import { O_RDONLY, type Proc, SyscallError } from "../../runtime/user/proc.ts";
import { echo, exists, readText, words } from "../init/exec.ts";
import { strerror } from "../strerror.ts";

const FOLDER = "/lib/modules";

/** libkmod's texts for what finit_module(2) says. */
function insertError(error: SyscallError): string {
  const texts: Record<string, string> = {
    ENOEXEC: "Invalid module format",
    ENOENT: "Unknown symbol in module, or unknown parameter (see dmesg)",
    ESRCH: "Module has wrong symbol version",
    EINVAL: "Invalid parameters",
  };
  return texts[error.code] ?? strerror(error);
}

async function complain(proc: Proc, text: string): Promise<number> {
  await proc.write(2, `${proc.argv[0]}: ERROR: ${text}\n`);
  return 1;
}

async function insert(proc: Proc, path: string, parameters: readonly string[]): Promise<void> {
  const fd = await proc.open(path, O_RDONLY);
  try {
    await proc.finitModule(fd, parameters.join(" "), 0);
  } finally {
    await proc.close(fd);
  }
}

/** insmod FILE [NAME=VALUE]... */
export async function insmod(proc: Proc): Promise<number> {
  const [, path, ...parameters] = proc.argv;
  if (path === undefined) return complain(proc, "missing filename.");
  try {
    await insert(proc, path, parameters);
    return 0;
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (error.syscall === "open") return complain(proc, `could not load module ${path}: ${strerror(error)}`);
    return complain(proc, `could not insert module ${path}: ${insertError(error)}`);
  }
}

/** Names with '-' and '_' are the same. */
const moduleName = (text: string): string =>
  text.replace(/^.*\//, "").replace(/\.ko$/, "").replaceAll("-", "_");

/** rmmod NAME... */
export async function rmmod(proc: Proc): Promise<number> {
  const names = proc.argv.slice(1).map(moduleName);
  if (names.length === 0) return complain(proc, "missing module name.");
  let status = 0;
  for (const name of names) status |= await remove(proc, name);
  return status;
}

async function remove(proc: Proc, name: string): Promise<number> {
  const folder = `/sys/module/${name}`;
  if (!(await exists(proc, folder))) return complain(proc, `Module ${name} is not currently loaded`);
  if (Number(await readText(proc, `${folder}/refcnt`)) !== 0)
    return complain(proc, `Module ${name} is in use`);
  try {
    await proc.deleteModule(name, 0);
    return 0;
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return complain(proc, `could not remove module ${name}: ${strerror(error)}`);
  }
}

/** lsmod: /proc/modules as a table. */
export async function lsmod(proc: Proc): Promise<number> {
  await echo(proc, "Module                  Size  Used by");
  for (const line of (await readText(proc, "/proc/modules")).split("\n")) {
    const [name, size, users, holders] = line.split(" ");
    if (!name || !size || !users) continue;
    const by = holders === undefined || holders === "-" ? "" : ` ${holders.replace(/,$/, "")}`;
    await echo(proc, `${name.padEnd(19)} ${size.padStart(8)}  ${users}${by}`);
  }
  return 0;
}

/** modprobe NAME [NAME=VALUE]...: the file in /lib/modules, with `NAME.parameter=` of the command line. */
export async function modprobe(proc: Proc): Promise<number> {
  const [, given, ...parameters] = proc.argv;
  if (given === undefined) return complain(proc, "missing parameters. See -h.");
  const name = moduleName(given);
  const release = (await readText(proc, "/proc/version")).split(" ")[2] ?? "";
  const path = `${FOLDER}/${release}/${name}.ko`;
  if (!(await exists(proc, path))) {
    await proc.write(2, `modprobe: FATAL: Module ${given} not found in directory ${FOLDER}/${release}\n`);
    return 1;
  }
  const prefix = `${name}.`;
  const boot = words(await readText(proc, "/proc/cmdline"))
    .filter((word) => moduleName(word.split(".")[0] ?? "") === name && word.startsWith(prefix))
    .map((word) => word.slice(prefix.length));
  try {
    await insert(proc, path, [...boot, ...parameters]);
    return 0;
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (error.code === "EEXIST") return 0;
    return complain(proc, `could not insert '${name}': ${insertError(error)}`);
  }
}
