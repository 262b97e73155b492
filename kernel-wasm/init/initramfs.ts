/**
 * The initramfs (init/initramfs.c): a newc cpio archive in memory, unpacked into rootfs. A bad archive is an
 * error that the log names; what was unpacked before it stays, as in Linux.
 *
 *     "070701" ino mode uid gid nlink mtime filesize major minor rmajor rminor namesize check   8 hex digits
 *     name, NUL, to a multiple of 4; data, to a multiple of 4; ... a record named TRAILER!!! ends it
 */
import {
  O_CREAT,
  O_EXCL,
  O_WRONLY,
  PAGE_SIZE,
  S_IFMT,
  S_IFREG,
} from "../include/generated/constants";
import { sym } from "../include/generated/symbols";
import { IS_ERR } from "../include/err";
import { fput } from "../fs/file_table";
import { MKDEV, S_ISDIR } from "../fs/inode";
import { do_mkdir, do_mknod, do_unlink } from "../fs/names";
import { filp_open } from "../fs/open";
import { kernel_write } from "../fs/read_write";
import { pr_emerg, pr_info } from "../kernel/printk/printk";
import { memcmp, strcmp, strnlen } from "../lib/string";
import { free_reserved_area } from "../mm/page_alloc";

const HEADER: usize = 110;
const FIELD_MODE: usize = 1;
const FIELD_SIZE: usize = 6;
const FIELD_RMAJOR: usize = 9;
const FIELD_RMINOR: usize = 10;
const FIELD_NAMESIZE: usize = 11;

/** The 8 hex digits of a header's field, or -1. */
function field(header: usize, index: usize): i64 {
  let value: i64 = 0;
  for (let i: usize = 0; i < 8; i++) {
    const ch = <u32>load<u8>(header + 6 + index * 8 + i);
    const lower = ch | 0x20;
    const digit = ch >= 0x30 && ch <= 0x39 ? ch - 0x30 : lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : 16;
    if (digit == 16) return -1;
    value = (value << 4) | digit;
  }
  return value;
}

@inline
function align4(n: usize): usize {
  return (n + 3) & ~3;
}

/** A file's data goes into the page cache; later members of the same name replace earlier ones. */
function do_copy(name: usize, mode: u32, data: usize, size: usize): usize {
  let filp = filp_open(name, O_CREAT | O_EXCL | O_WRONLY, mode);
  if (IS_ERR(filp) && do_unlink(name, false) == 0) filp = filp_open(name, O_CREAT | O_EXCL | O_WRONLY, mode);
  if (IS_ERR(filp)) return c`cannot create a file`;
  filp.f_inode.i_mode = <u16>mode;
  const written = size ? kernel_write(filp, data, size, 0) : 0;
  fput(filp);
  return written == <i64>size ? 0 : c`write error`;
}

/** Makes one member; a text that says what is wrong, or 0. Directories and nodes may exist. */
function do_name(name: usize, mode: u32, rdev: u32, data: usize, size: usize): usize {
  if ((mode & S_IFMT) == S_IFREG) return do_copy(name, mode, data, size);
  if (S_ISDIR(mode)) do_mkdir(name, mode & 0o7777);
  else do_mknod(name, mode, rdev);
  return 0;
}

/** Unpacks [buf, buf + len). Returns null, or what is wrong with it. */
export function unpack_to_rootfs(buf: usize, len: usize): usize {
  let at: usize = 0;
  while (at < len) {
    // Archives may follow one another, with zeros between them.
    if (load<u8>(buf + at) == 0) {
      at++;
      continue;
    }
    const header = buf + at;
    if (len - at < HEADER) return c`junk within compressed archive`;
    if (memcmp(header, c`070701`, 6) != 0) {
      if (memcmp(header, c`070707`, 6) == 0) return c`incorrect cpio method used: use -H newc option`;
      return c`no cpio magic`;
    }
    const mode = field(header, FIELD_MODE);
    const size = field(header, FIELD_SIZE);
    const namesize = field(header, FIELD_NAMESIZE);
    if (mode < 0 || size < 0 || namesize <= 0) return c`malformed cpio header`;
    const name = header + HEADER;
    if (namesize > <i64>(len - at - HEADER)) return c`broken padding`;
    if (strnlen(name, <usize>namesize) != <usize>namesize - 1) return c`malformed cpio header`;
    const data_at = align4(at + HEADER + <usize>namesize);
    if (strcmp(name, c`TRAILER!!!`) == 0) {
      at = data_at;
      continue;
    }
    if (data_at > len || size > <i64>(len - data_at)) return c`unexpected EOF`;
    const rdev = MKDEV(<u32>field(header, FIELD_RMAJOR), <u32>field(header, FIELD_RMINOR));
    const problem = do_name(name, <u32>mode, rdev, buf + data_at, <usize>size);
    if (problem) return problem;
    at = align4(data_at + <usize>size);
  }
  return 0;
}

/** rootfs_initcall: the initrd that the loader left in memory; its pages become free memory. */
export function populate_rootfs(): i32 {
  const start = pa(sym.initrd_start);
  const end = start + <usize>(sym.initrd_end - sym.initrd_start);
  if (!start || end <= start) return 0;
  pr_info(c`Trying to unpack rootfs image as initramfs...\n`);
  const problem = unpack_to_rootfs(start, end - start);
  if (problem) pr_emerg(c`Initramfs unpacking failed: %s\n`, problem);
  const from = start & ~(PAGE_SIZE - 1);
  const to = (end + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
  free_reserved_area(from, to, 0);
  pr_info(c`Freeing initrd memory: %ldK\n`, (to - from) >> 10);
  sym.initrd_start = 0;
  sym.initrd_end = 0;
  return 0;
}
