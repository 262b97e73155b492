/** The debug kernel beside the dumps: one file in the out directory serves all dumps of a build. */
import { HostError, type HostFs } from "../../runtime/adapter/index.ts";
import type { BesideProgram } from "../../runtime/adapter/terminal.ts";
import { assetSize, isAsset, readAsset } from "../assets.ts";

export type VmlinuxName = "vmlinux" | "vmlinux-debug";

function isThere(hostfs: HostFs, name: VmlinuxName): boolean {
  try {
    // The size first: what else has the name may be of any size.
    return hostfs.stat(name).size === assetSize(name) && isAsset(name, hostfs.read(name));
  } catch (error) {
    if (error instanceof HostError) return false;
    throw error;
  }
}

/**
 * Leaves this build's vmlinux in the out directory unless it is there, and gives its path below that. One of
 * another build, or a damaged one, is replaced in one step.
 */
export function leaveVmlinux(program: BesideProgram, hostfs: HostFs, name: VmlinuxName = "vmlinux"): string {
  if (isThere(hostfs, name)) return name;
  const wanted = readAsset(program, name);
  const incomplete = `${name}.incomplete`;
  const file = hostfs.open(incomplete, { write: true, create: true, truncate: true });
  try {
    hostfs.writev(file, [wanted], 0);
  } finally {
    hostfs.close(file);
  }
  hostfs.rename(incomplete, name);
  return name;
}
