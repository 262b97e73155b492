/**
 * cp: `cp SOURCE TARGET`, one file. The kernel moves the bytes (copy_file_range), so that a dump goes from
 * the old memory to the device without passing through the program.
 */
import { O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY, type Proc, SyscallError } from "../../runtime/user/proc.ts";
import { strerror } from "../strerror.ts";
import { echo } from "./exec.ts";

/** The most that one call may move (MAX_RW_COUNT of Linux, a page below 2 GiB). */
const MOVE_MAX = 0x7ffff000;
/** Files above this size get a line of progress at each multiple of it. */
const PROGRESS_STEP = 256 * 1024 * 1024;
const MIB = 1024 * 1024;

export async function cp(proc: Proc): Promise<number> {
  const [, source, target, ...more] = proc.argv;
  if (source === undefined || target === undefined || more.length > 0) {
    await proc.write(2, "usage: cp SOURCE TARGET\n");
    return 1;
  }
  try {
    const from = await proc.open(source, O_RDONLY);
    const { size } = await proc.fstat(from);
    const to = await proc.open(target, O_WRONLY | O_CREAT | O_TRUNC, 0o600);
    for (let moved = 0; ; ) {
      const step = size > PROGRESS_STEP ? PROGRESS_STEP : MOVE_MAX;
      const bytes = await proc.copyFileRange(from, to, step - (moved % step));
      if (bytes === 0) break;
      moved += bytes;
      if (moved % PROGRESS_STEP === 0 && size > PROGRESS_STEP) {
        await echo(proc, `cp: ${moved / MIB} of ${Math.ceil(size / MIB)} MiB`);
      }
    }
    await proc.close(to);
    await proc.close(from);
    return 0;
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    await proc.write(2, `cp: ${error.syscall} ${error.path ?? target}: ${strerror(error)}\n`);
    return 1;
  }
}
