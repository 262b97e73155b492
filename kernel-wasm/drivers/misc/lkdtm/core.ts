/**
 * LKDTM, the Linux Kernel Dump Test Module (drivers/misc/lkdtm/core.c): crashes on request.
 *
 *     echo PANIC > /sys/kernel/debug/provoke-crash/DIRECT
 *     cat /sys/kernel/debug/provoke-crash/DIRECT           the types
 *
 * Of Linux's types those are here that this kernel can do in earnest: each really makes the mistake that its
 * name says, and what follows is what the kernel makes of it.
 */
import {
  CRASHTYPES_MAX,
  EFAULT,
  EINVAL,
  ENOMEM,
  GFP_KERNEL,
  PAGE_SIZE,
} from "../../../include/generated/constants";
import { crashtype, dentry, file } from "../../../include/generated/structs";
import { sym } from "../../../include/generated/symbols";
import { copy_from_user, copy_to_user } from "../../../arch/lib/usercopy";
import { debugfs_create_dir, debugfs_create_file } from "../../../fs/debugfs/inode";
import { generic_file_llseek } from "../../../fs/read_write";
import { panic } from "../../../kernel/panic";
import { pr_info } from "../../../kernel/printk/printk";
import { strcmp, strim } from "../../../lib/string";
import { scnprintf } from "../../../lib/vsprintf";
import { __get_free_page, free_page } from "../../../mm/page_alloc";
import { lkdtm_bugs_types } from "./bugs";
import { lkdtm_heap_types } from "./heap";
import { lkdtm_perms_types } from "./perms";
import { lkdtm_refcount_types } from "./refcount";

/** For the files of the types, each of which adds its own. */
export function CRASHTYPE(name: usize, func: u64): void {
  const index = sym.nr_crashtypes++;
  if (index >= CRASHTYPES_MAX) panic(c`lkdtm: too many crash types`);
  const type: crashtype = sym.crashtypes[index];
  type.name = name;
  type.func = func;
}

function find_crashtype(name: usize): crashtype {
  for (let i = 0; i < sym.nr_crashtypes; i++) {
    const type: crashtype = sym.crashtypes[i];
    if (strcmp(type.name, name) == 0) return type;
  }
  return changetype<crashtype>(0);
}

export function lkdtm_do_action(type: crashtype): void {
  call_indirect<void>(text_index(type.func));
}

/** Reading: the types by name. */
export function lkdtm_debugfs_read(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const text = __get_free_page(GFP_KERNEL);
  if (!text) return -ENOMEM;
  let n = scnprintf(text, PAGE_SIZE, c`Available crash types:\n`);
  for (let i = 0; i < sym.nr_crashtypes; i++) {
    const type: crashtype = sym.crashtypes[i];
    n += scnprintf(text + n, PAGE_SIZE - n, c`%s\n`, type.name);
  }
  let done: i64 = pos >= n ? 0 : min<i64>(n - pos, count);
  if (done > 0 && copy_to_user(buf, text + <usize>pos, <usize>done)) done = -EFAULT;
  free_page(text);
  return done;
}

/** Writing a type: it happens at once. */
export function direct_entry(filp: file, buf: u64, count: usize, pos: i64): i64 {
  if (count >= PAGE_SIZE || count < 1) return -EINVAL;
  const text = __get_free_page(GFP_KERNEL);
  if (!text) return -ENOMEM;
  if (copy_from_user(text, buf, count)) {
    free_page(text);
    return -EFAULT;
  }
  store<u8>(text + count, 0);
  const type = find_crashtype(strim(text));
  free_page(text);
  if (isnull(type)) return -EINVAL;
  pr_info(c`lkdtm: Performing direct entry %s\n`, type.name);
  lkdtm_do_action(type);
  return count;
}

/** device_initcall: the types, and their file. */
export function lkdtm_module_init(): i32 {
  lkdtm_bugs_types();
  lkdtm_heap_types();
  lkdtm_perms_types();
  lkdtm_refcount_types();
  const root = debugfs_create_dir(c`provoke-crash`, changetype<dentry>(0));
  if (isnull(root)) return -ENOMEM;
  const ops = sym.lkdtm_direct_fops;
  ops.read = fnptr(lkdtm_debugfs_read);
  ops.write = fnptr(direct_entry);
  ops.llseek = fnptr(generic_file_llseek);
  if (isnull(debugfs_create_file(c`DIRECT`, 0o644, root, ops))) return -ENOMEM;
  pr_info(c`lkdtm: No crash points registered, enable through debugfs\n`);
  return 0;
}
