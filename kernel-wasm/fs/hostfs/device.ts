/**
 * The hostfs device's driver: one request at a time in sym.hostfs_req, complete when the doorbell returns.
 * Results are what the device says, negative errors as they are.
 */
import {
  HOSTFS_CLOSE,
  HOSTFS_FSYNC,
  HOSTFS_FSYNCDIR,
  HOSTFS_MKDIR,
  HOSTFS_OPEN,
  HOSTFS_RENAME,
  HOSTFS_STAT,
  HOSTFS_UNLINK,
} from "../../include/generated/constants";
import { hostfs_req } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";

@external("hw", "hostfs") declare function hw_hostfs(request: usize): i32;

/** An empty request; the caller fills in what its operation needs. */
function request(op: u32): hostfs_req {
  const req = sym.hostfs_req;
  memory.fill(changetype<usize>(req), 0, hostfs_req.SIZE);
  req.op = op;
  return req;
}

@inline
function submit(req: hostfs_req): i32 {
  return hw_hostfs(changetype<usize>(req));
}

/** Handle of the file at `path`, to be closed. `flags`: O_*. */
export function hostfs_open(path: usize, flags: u32, mode: u32): i32 {
  const req = request(HOSTFS_OPEN);
  req.path = path;
  req.flags = flags;
  req.mode = mode;
  return submit(req);
}

export function hostfs_close(handle: u32): i32 {
  const req = request(HOSTFS_CLOSE);
  req.handle = handle;
  return submit(req);
}

export function hostfs_fsync(handle: u32): i32 {
  const req = request(HOSTFS_FSYNC);
  req.handle = handle;
  return submit(req);
}

/** HOSTFS_READ or HOSTFS_WRITE of `nr` extents at file position `pos`; bytes moved. */
export function hostfs_transfer(op: u32, handle: u32, pos: u64, extents: usize, nr: u32): i64 {
  const req = request(op);
  req.handle = handle;
  req.offset = pos;
  req.extents = extents;
  req.nr_extents = nr;
  const error = submit(req);
  return error < 0 ? <i64>error : <i64>req.size;
}

/** Type and permissions, or an error; the size is left in sym.hostfs_req.size. */
export function hostfs_stat(path: usize): i32 {
  const req = request(HOSTFS_STAT);
  req.path = path;
  const error = submit(req);
  return error < 0 ? error : <i32>req.mode;
}

export function hostfs_mkdir(path: usize, mode: u32): i32 {
  const req = request(HOSTFS_MKDIR);
  req.path = path;
  req.mode = mode;
  return submit(req);
}

export function hostfs_unlink(path: usize): i32 {
  const req = request(HOSTFS_UNLINK);
  req.path = path;
  return submit(req);
}

export function hostfs_rename(from: usize, to: usize, flags: u32): i32 {
  const req = request(HOSTFS_RENAME);
  req.path = from;
  req.path2 = to;
  req.flags = flags;
  return submit(req);
}

export function hostfs_fsync_dir(path: usize): i32 {
  const req = request(HOSTFS_FSYNCDIR);
  req.path = path;
  return submit(req);
}
