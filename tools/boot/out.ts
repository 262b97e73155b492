/** --out: the host directory that is the machine's /var/crash. */
import { HostError, type HostFs, openDirectory } from "../../runtime/adapter/index.ts";
import { CommandError } from "../flags.ts";
import { strerror } from "../strerror.ts";

export const OUT_DEFAULT = "./var/crash";

/** Makes it when it does not exist. CommandError when nothing could be saved there. */
export function openOut(path: string): HostFs {
  try {
    return openDirectory(path);
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    throw new CommandError(`--out ${path} is no directory that can be written to: ${strerror(error)}`);
  }
}
