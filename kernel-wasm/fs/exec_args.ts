/**
 * argv and envp of an execve(2) (fs/exec.c, copy_strings): fetched from the old program's memory into one
 * block of the kernel, because they must outlive that memory. Linux copies them to the new stack directly.
 *
 *     argv[0] ... NULL   envp[0] ... NULL   the strings      pointers are kernel addresses
 */
import {
  E2BIG,
  EFAULT,
  ENOMEM,
  GFP_KERNEL,
  PAGE_SIZE,
  USER_STACK_SIZE,
} from "../include/generated/constants";
import { ERR_PTR } from "../include/err";
import { copy_from_user, strncpy_from_user } from "../arch/lib/usercopy";
import { __get_free_page, free_page } from "../mm/page_alloc";
import { kfree, kmalloc } from "../mm/slub";

/** Count of the strings in the high word, their bytes with the NULs in the low one; or a negative error. */
function measure(list: u64, scratch: usize): i64 {
  let count: u64 = 0;
  let bytes: u64 = 0;
  // A program may have no argument array at all.
  while (list) {
    if (copy_from_user(scratch, list + (count << 3), 8)) return -EFAULT;
    let at = load<u64>(scratch);
    if (!at) break;
    for (;;) {
      const len = strncpy_from_user(scratch, at, PAGE_SIZE);
      if (len < 0) return len;
      bytes += len;
      if (len < PAGE_SIZE) break;
      if (bytes > USER_STACK_SIZE) return -E2BIG;
      at += PAGE_SIZE;
    }
    bytes += 1;
    count++;
    if (bytes + (count << 3) > USER_STACK_SIZE) return -E2BIG;
  }
  return (count << 32) | bytes;
}

/** Fetches `count` strings to `text` and pointers to them to `table`. Where they end, or 0: a fault. */
function fetch(list: u64, count: u32, table: usize, text: usize, end: usize): usize {
  for (let i: usize = 0; i < count; i++) {
    if (copy_from_user(table + (i << 3), list + ((<u64>i) << 3), 8)) return 0;
    const len = strncpy_from_user(text, load<u64>(table + (i << 3)), end - text);
    // Not longer than measured, unless a task that shares the memory has changed them meanwhile.
    if (len < 0 || <usize>len >= end - text) return 0;
    store<u64>(table + (i << 3), va(text));
    text += len + 1;
  }
  store<u64>(table + (<usize>count << 3), 0);
  return text;
}

/** The block, to be freed with kfree(), or an ERR_PTR: EFAULT, E2BIG, ENOMEM. */
export function copy_strings(argv: u64, envp: u64): usize {
  const scratch = __get_free_page(GFP_KERNEL);
  if (!scratch) return ERR_PTR<usize>(-ENOMEM);
  const args = measure(argv, scratch);
  const env = args < 0 ? args : measure(envp, scratch);
  free_page(scratch);
  if (env < 0) return ERR_PTR<usize>(<i32>env);
  const argc = <u32>(args >> 32);
  const envc = <u32>(env >> 32);
  const tables = (argc + envc + 2) << 3;
  const size = tables + <u32>args + <u32>env;
  const block = kmalloc(size, GFP_KERNEL);
  if (!block) return ERR_PTR<usize>(-ENOMEM);
  const text = fetch(argv, argc, block, block + tables, block + size);
  if (text && fetch(envp, envc, block + ((argc + 1) << 3), text, block + size)) return block;
  kfree(block);
  return ERR_PTR<usize>(-EFAULT);
}
