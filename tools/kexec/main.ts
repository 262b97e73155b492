/**
 * kexec: kexec-tools' program, as much of kexec(8) as loads and unloads a kernel through kexec_file_load.
 * Options and texts are the original's; kexec_load is not in our kernel.
 */
import { O_RDONLY, type Proc, SyscallError } from "../../runtime/user/proc.ts";
import { readText, words } from "../init/exec.ts";
import { REBOOT_CMD_KEXEC } from "../init/reboot.ts";
import { strerror } from "../strerror.ts";
import { type Options, OptionsError, parseOptions } from "./options.ts";

export const HELP = `Usage: kexec [OPTION]... [kernel]
Directly reboot into a new kernel

 -h, --help           Print this help.
 -u, --unload         Unload the current kexec target kernel.
                      If capture kernel is being unloaded
                      specify -p with -u.
 -e, --exec           Execute a currently loaded kernel.
 -l, --load           Load the new kernel into the
                      current kernel.
 -p, --load-panic     Load the new kernel for use on panic.
 -s, --kexec-file-syscall Use file based syscall for kexec operation
 -a, --kexec-syscall-auto Use file based syscall (the default)
 -c, --kexec-syscall  Use the kexec_load syscall
 -S, --status         Return 1 if the type (by default crash) is loaded,
                      0 if not.
     --append=STRING  Set the kernel command line to STRING.
     --command-line=STRING
     --reuse-cmdline  Use kernel command line from running system.
     --initrd=FILE    Use FILE as the kernel's initial ramdisk.
     --ramdisk=FILE
`;

/** Flags of kexec_file_load(2) (include/uapi/linux/kexec.h). */
const KEXEC_FILE_UNLOAD = 1;
const KEXEC_FILE_ON_CRASH = 2;
const KEXEC_FILE_NO_INITRAMFS = 4;

/** A reason to stop, as die() of kexec-tools prints it. */
class Death extends Error {}

export async function main(proc: Proc): Promise<number> {
  try {
    const options = parseOptions(proc.argv.slice(1));
    switch (options.action) {
      case "help":
        await proc.write(1, HELP);
        return 0;
      case "status":
        return await status(proc, options.panic ?? true);
      case "unload":
        return await unload(proc, options);
      case "exec":
        return await execute(proc);
      case "load":
        return await load(proc, options);
    }
  } catch (error) {
    if (error instanceof OptionsError) await proc.write(2, `kexec: ${error.message}\n${HELP}`);
    else if (error instanceof Death) await proc.write(2, `${error.message}\n`);
    else throw error;
    return 1;
  }
}

async function load(proc: Proc, options: Options): Promise<number> {
  const panic = options.panic ?? false;
  if (options.kernel === undefined) throw new Death("No kernel specified");
  if (panic && !(await readText(proc, "/proc/iomem")).includes("Crash kernel")) {
    throw new Death(
      "Memory for crashkernel is not reserved\n" +
        'Please reserve memory by passing"crashkernel=Y@X" parameter to kernel\n' +
        "Then try to loading kdump kernel",
    );
  }
  if (options.syscall === "load") throw new Death("kexec_load failed: Function not implemented");
  const kernel = await open(proc, options.kernel);
  const initrd = options.initrd === undefined ? -1 : await open(proc, options.initrd);
  const cmdline = options.reuseCmdline ? await runningCmdline(proc, panic, options.cmdline) : options.cmdline;
  let flags = panic ? KEXEC_FILE_ON_CRASH : 0;
  if (initrd < 0) flags |= KEXEC_FILE_NO_INITRAMFS;
  try {
    await proc.kexecFileLoad(kernel, initrd, cmdline, flags);
  } catch (error) {
    throw death(error, "kexec_file_load failed");
  } finally {
    await proc.close(kernel);
    if (initrd >= 0) await proc.close(initrd);
  }
  return 0;
}

async function unload(proc: Proc, options: Options): Promise<number> {
  try {
    await proc.kexecFileLoad(-1, -1, "", KEXEC_FILE_UNLOAD | (options.panic ? KEXEC_FILE_ON_CRASH : 0));
    return 0;
  } catch (error) {
    throw death(error, "kexec_file_load(unload) failed");
  }
}

/** Does not come back when a kernel is loaded. */
async function execute(proc: Proc): Promise<number> {
  try {
    await proc.reboot(REBOOT_CMD_KEXEC);
    return 0;
  } catch (error) {
    if (error instanceof SyscallError && error.code === "EINVAL") throw new Death("Nothing has been loaded!");
    throw death(error, "kexec failed");
  }
}

async function status(proc: Proc, panic: boolean): Promise<number> {
  const path = panic ? "/sys/kernel/kexec_crash_loaded" : "/sys/kernel/kexec_loaded";
  try {
    return (await readText(proc, path)).trim() === "1" ? 1 : 0;
  } catch (error) {
    throw death(error, `Cannot open ${path}`);
  }
}

/** --reuse-cmdline: the running kernel's, without what would be wrong for the next. */
async function runningCmdline(proc: Proc, panic: boolean, added: string): Promise<string> {
  const drop = panic ? ["BOOT_IMAGE", "crashkernel"] : ["BOOT_IMAGE"];
  const kept = words(await readText(proc, "/proc/cmdline")).filter(
    (word) => !drop.includes(word.split("=")[0]!),
  );
  return [...kept, ...words(added)].join(" ");
}

async function open(proc: Proc, path: string): Promise<number> {
  try {
    return await proc.open(path, O_RDONLY);
  } catch (error) {
    throw death(error, `Cannot open ${path}`);
  }
}

function death(error: unknown, what: string): unknown {
  return error instanceof SyscallError ? new Death(`${what}: ${strerror(error)}`) : error;
}
