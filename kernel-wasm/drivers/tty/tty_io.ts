/**
 * /dev/console (drivers/tty/tty_io.c): what a program writes goes to the serial line. There is no input:
 * reads end.
 */
import { EFAULT, ENOMEM, GFP_KERNEL, PAGE_SIZE, TTYAUX_MAJOR } from "../../include/generated/constants";
import { file, inode } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { copy_from_buf } from "../../arch/lib/usercopy";
import { register_chrdev } from "../../fs/char_dev";
import { nonseekable_open } from "../../fs/open";
import { __get_free_page, free_page } from "../../mm/page_alloc";
import { serial8250_write } from "./serial8250";

export function tty_open(node: inode, filp: file): i32 {
  return nonseekable_open(filp);
}

export function tty_read(filp: file, buf: u64, count: usize, pos: i64): i64 {
  return 0;
}

/** Through a page, piece by piece; a piece that was written stays written when a later one faults. */
export function tty_write(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const page = __get_free_page(GFP_KERNEL);
  if (!page) return -ENOMEM;
  let done: usize = 0;
  while (done < count) {
    const len = min<usize>(count - done, PAGE_SIZE);
    if (copy_from_buf(page, buf + done, len)) break;
    serial8250_write(page, len);
    done += len;
  }
  free_page(page);
  return done == 0 && count != 0 ? -EFAULT : done;
}

/** fs_initcall. */
export function tty_init(): i32 {
  sym.console_fops.open = fnptr(tty_open);
  sym.console_fops.read = fnptr(tty_read);
  sym.console_fops.write = fnptr(tty_write);
  return register_chrdev(TTYAUX_MAJOR, c`/dev/console`, sym.console_fops);
}
