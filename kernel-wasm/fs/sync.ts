/** fsync(2) (fs/sync.c). */
import { EBADF, EINVAL } from "../include/generated/constants";
import { file } from "../include/generated/structs";
import { fdget, fdput } from "./file";

export function vfs_fsync_range(filp: file, start: i64, end: i64, datasync: i32): i32 {
  if (filp.f_op.fsync == 0) return -EINVAL;
  return call_indirect<i32>(text_index(filp.f_op.fsync), filp, start, end, datasync);
}

export function do_fsync(fd: u32, datasync: i32): i32 {
  const filp = fdget(fd);
  if (isnull(filp)) return -EBADF;
  const err = vfs_fsync_range(filp, 0, i64.MAX_VALUE, datasync);
  fdput(filp);
  return err;
}
