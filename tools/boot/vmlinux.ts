/** The debug kernel beside the dumps: one file in the out directory serves all dumps of a build. */
import { HostError, type HostFs } from "../../runtime/adapter/index.ts";
import type { BesideProgram } from "../../runtime/adapter/terminal.ts";
import { readAsset } from "../assets.ts";

export type VmlinuxName = "vmlinux" | "vmlinux-debug";

function isThere(hostfs: HostFs, name: VmlinuxName, wanted: Uint8Array): boolean {
  try {
    // The size first: what else has the name may be of any size.
    if (hostfs.stat(name).size !== wanted.length) return false;
    const found = hostfs.read(name);
    return found.length === wanted.length && found.every((byte, i) => byte === wanted[i]);
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
  const wanted = readAsset(program, name);
  if (isThere(hostfs, name, wanted)) return name;
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
