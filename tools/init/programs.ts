/** The programs of the machine, by the name that stands in their files' `#!program NAME` line. */
import type { Program } from "../../runtime/user/proc.ts";
import { kdump } from "../kdumpctl/kdump.ts";
import { kdumpctl } from "../kdumpctl/kdumpctl.ts";
import { main as kexec } from "../kexec/main.ts";
import { insmod, lsmod, modprobe, rmmod } from "../kmod/modules.ts";
import { main as makedumpfile } from "../makedumpfile/main.ts";
import { mkswap, swapoff, swapon } from "../swap/swap.ts";
import { main as vmcoreDmesg } from "../vmcore-dmesg/main.ts";
import { main as workload } from "../workload/main.ts";
import { cp } from "./cp.ts";
import { runner } from "./exec.ts";
import { init } from "./main.ts";

export function machinePrograms(): Record<string, Program> {
  const programs: Record<string, Program> = {
    cp,
    kexec,
    makedumpfile,
    "vmcore-dmesg": vmcoreDmesg,
    workload,
  };
  Object.assign(programs, { insmod, lsmod, mkswap, modprobe, rmmod, swapoff, swapon });
  const run = runner(programs);
  programs.init = init(run);
  programs.kdump = kdump(run);
  programs.kdumpctl = kdumpctl(run);
  return programs;
}
