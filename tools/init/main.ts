/**
 * init: process 1 of both kernels. In the first it has the kdump service load the capture kernel and then
 * crashes the machine as the kernel parameter wkdump.crash= and /etc/crash.conf say; in the capture kernel,
 * whose initrd carries the kdump script, it runs that.
 */
import { type Proc, type Program, SyscallError } from "../../runtime/user/proc.ts";
import { strerror } from "../strerror.ts";
import { prepareSwap } from "../swap/swap.ts";
import { WORKLOAD_PARAMETER } from "../workload/main.ts";
import { CRASH_DEFAULT, CRASH_PARAMETER, MODULES_PARAMETER, parseCrashConf, setOff } from "./crashes.ts";
import { echo, exists, type Run, readText, words } from "./exec.ts";
import { prepareMemory } from "./memory.ts";
import { REBOOT_CMD_POWER_OFF } from "./reboot.ts";

const KDUMP_SCRIPT = "/usr/bin/kdump";
const CRASH_CONF = "/etc/crash.conf";

export function init(run: Run): Program {
  return async (proc) => {
    try {
      if (await exists(proc, KDUMP_SCRIPT)) await run(proc, [KDUMP_SCRIPT]);
      else await firstKernel(proc, run);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      await echo(proc, `init: ${error.syscall} ${error.path ?? ""}: ${strerror(error)}`);
    }
    // What comes here did neither crash nor restart; without this, init's end would be a panic of its own.
    await proc.reboot(REBOOT_CMD_POWER_OFF);
    return 0;
  };
}

async function firstKernel(proc: Proc, run: Run): Promise<void> {
  const parameters = words(await readText(proc, "/proc/cmdline"));
  // kdump.service has ConditionKernelCommandLine=crashkernel. What comes of it is told by kdumpctl itself.
  if (parameters.some((word) => word.startsWith("crashkernel="))) await run(proc, ["kdumpctl", "start"]);
  else await echo(proc, "init: no crashkernel= on the command line: kdump is not started");
  const modules = parameters.filter((word) => word.startsWith(`${MODULES_PARAMETER}=`)).at(-1);
  const names = modules?.slice(MODULES_PARAMETER.length + 1).split(",") ?? [];
  for (const name of names.filter((it) => it !== "")) await run(proc, ["modprobe", name]);
  await prepareSwap(proc, run, parameters);
  await prepareMemory(proc, parameters);
  const operations = parameters.filter((word) => word.startsWith(`${WORKLOAD_PARAMETER}=`)).at(-1);
  if (operations !== undefined) {
    await run(proc, ["workload", operations.slice(WORKLOAD_PARAMETER.length + 1)]);
  }
  const asked = parameters.filter((word) => word.startsWith(`${CRASH_PARAMETER}=`)).at(-1);
  const type = asked?.slice(CRASH_PARAMETER.length + 1) ?? CRASH_DEFAULT;
  const types = parseCrashConf(await readText(proc, CRASH_CONF));
  const trigger = types.get(type);
  if (trigger === undefined) {
    await echo(
      proc,
      types.has(type) ? "init: powering off" : `init: ${CRASH_CONF} knows no crash type ${type}`,
    );
    return;
  }
  await echo(proc, `init: echo ${trigger.text} > ${trigger.path}`);
  const status = await setOff(proc, trigger);
  if (status !== 0) await echo(proc, `init: the process that wrote it ended with status ${status}`);
  await echo(proc, `init: ${type} did not crash the machine`);
}
