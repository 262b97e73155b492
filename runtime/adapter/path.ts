/** Paths of a HostFs: relative, inside the root. */

import { errno } from "../machine/errno.ts";
import { HostError } from "./host.ts";

/**
 * The components of `path`. "" and "." are the root itself. EACCES for a path that is absolute or has a
 * `..`; EINVAL for one with a NUL, which no host could store.
 */
export function components(path: string, operation: string): string[] {
  if (path.includes("\0"))
    throw new HostError(errno.EINVAL, "EINVAL", operation, path.replaceAll("\0", "\\0"));
  // A backslash or a drive letter would mean something to a Windows host only; a name may not mean two
  // things.
  if (path.startsWith("/") || path.includes("\\"))
    throw new HostError(errno.EACCES, "EACCES", operation, path);
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw new HostError(errno.EACCES, "EACCES", operation, path);
  return parts;
}
