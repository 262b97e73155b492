/**
 * Loading and unloading of kernel modules (kernel/module/main.c): init_module(2), finit_module(2) and
 * delete_module(2). The file is checked and placed by layout.ts, its symbols and relocations are done by
 * reloc.ts; here is the order of things, and what each failure undoes.
 */
import {
  E2BIG,
  EBUSY,
  EEXIST,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOEXEC,
  ENOMEM,
  EAGAIN,
  GFP_KERNEL,
  KMALLOC_MAX_SIZE,
  MODULE_INIT_IGNORE_MODVERSIONS,
  MODULE_INIT_IGNORE_VERMAGIC,
  MODULE_NAME_LEN,
  MODULE_REF_BASE,
  MODULE_STATE_COMING,
  MODULE_STATE_GOING,
  MODULE_STATE_LIVE,
  MODULE_STATE_UNFORMED,
  PAGE_SIZE,
  TAINT_FLAGS_COUNT,
  TAINT_OOT_MODULE,
  TAINT_PROPRIETARY_MODULE,
  TAINT_UNSIGNED_MODULE,
} from "../../include/generated/constants";
import { elf64_hdr, kernfs_node, load_info, module_ } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { ERR_PTR, IS_ERR, PTR_ERR } from "../../include/err";
import { code_table_add, code_table_remove, module_memfree } from "../../arch/kernel/module";
import { copy_from_user, strncpy_from_user } from "../../arch/lib/usercopy";
import { kernel_read_file_from_fd } from "../../fs/kernel_read_file";
import { INIT_LIST_HEAD, list_add, list_del, list_empty, list_is_head } from "../../lib/list";
import { strcmp, strlen } from "../../lib/string";
import { kfree, kmalloc, kzalloc } from "../../mm/slub";
import { memcpy_from_vm, vfree } from "../../mm/vmalloc";
import { mutex_lock, mutex_unlock } from "../locking/mutex";
import { add_taint, test_taint } from "../panic";
import { pr_cont, pr_err, pr_notice, pr_warn, printk } from "../printk/printk";
import { add_kallsyms } from "./kallsyms";
import { elf_validity_check, get_modinfo, layout_and_allocate, section, setup_load_info } from "./layout";
import { destroy_params, find_module_params, parse_module_args } from "./params";
import { apply_relocations, simplify_symbols } from "./reloc";
import { set_module_memory } from "./strict_rwx";
import { mod_sysfs_setup, mod_sysfs_teardown } from "./sysfs";

const ARGS_MAX: usize = PAGE_SIZE;

/** A module by its name; null when there is none. */
export function find_module(name: usize): module_ {
  const head = sym.modules;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const mod = module_.from_list(at);
    if (mod.state != MODULE_STATE_UNFORMED && strcmp(mod.name, name) == 0) return mod;
  }
  return changetype<module_>(0);
}

export function module_refcount(mod: module_): i32 {
  return mod.refcnt.counter - MODULE_REF_BASE;
}

/** One user more; false when the module is on its way out. */
export function try_module_get(mod: module_): bool {
  if (isnull(mod)) return true;
  if (mod.state == MODULE_STATE_GOING) return false;
  atomic.add<i32>(changetype<usize>(mod.refcnt), 1);
  return true;
}

export function module_put(mod: module_): void {
  if (!isnull(mod)) atomic.sub<i32>(changetype<usize>(mod.refcnt), 1);
}

function add_taint_module(mod: module_, flag: u32): void {
  add_taint(flag);
  mod.taints |= (1 as u64) << flag;
}

/** `(OE)`: the taint that a module brought, with + while it comes and - while it goes. */
export function module_flags(mod: module_, buf: usize, show_state: bool = true): usize {
  let at = buf;
  const moves = show_state && (mod.state == MODULE_STATE_GOING || mod.state == MODULE_STATE_COMING);
  if (mod.taints || moves) {
    store<u8>(at++, 0x28);
    for (let i: u32 = 0; i < TAINT_FLAGS_COUNT; i++) {
      if ((mod.taints >> i) & 1) store<u8>(at++, sym.taint_flags[i].c_true);
    }
    if (moves && mod.state == MODULE_STATE_GOING) store<u8>(at++, 0x2d);
    if (moves && mod.state == MODULE_STATE_COMING) store<u8>(at++, 0x2b);
    store<u8>(at++, 0x29);
  }
  store<u8>(at, 0);
  return buf;
}

/** License and origin: what of it taints the kernel. */
function check_modinfo(info: load_info): void {
  const mod = info.mod;
  if (!get_modinfo(info, c`intree`)) {
    if (!test_taint(TAINT_OOT_MODULE)) {
      pr_warn(c`%s: loading out-of-tree module taints kernel.\n`, mod.name);
    }
    add_taint_module(mod, TAINT_OOT_MODULE);
  }
  const license = get_modinfo(info, c`license`);
  if (!license || !is_gpl(license)) {
    if (!test_taint(TAINT_PROPRIETARY_MODULE)) {
      pr_warn(c`%s: module license '%s' taints kernel.\n`, mod.name, license ? license : c`unspecified`);
    }
    add_taint_module(mod, TAINT_PROPRIETARY_MODULE);
  }
}

function check_version(info: load_info, flags: u32): i32 {
  const magic = get_modinfo(info, c`vermagic`);
  if (magic && (flags & MODULE_INIT_IGNORE_VERMAGIC || strcmp(magic, sym.vermagic) == 0)) return 0;
  pr_err(c`%s: version magic '%s' should be '%s'\n`, info.name, magic ? magic : c`(null)`, sym.vermagic);
  return -ENOEXEC;
}

/** license_is_gpl_compatible(). */
function is_gpl(license: usize): bool {
  if (strcmp(license, c`GPL`) == 0 || strcmp(license, c`GPL v2`) == 0) return true;
  if (strcmp(license, c`GPL and additional rights`) == 0) return true;
  return strcmp(license, c`Dual BSD/GPL`) == 0 || strcmp(license, c`Dual MIT/GPL`) == 0 ||
    strcmp(license, c`Dual MPL/GPL`) == 0;
}

/** Puts the module where everybody finds it; not twice under one name. */
function add_unformed_module(mod: module_): i32 {
  mod.state = MODULE_STATE_UNFORMED;
  const old = find_module(mod.name);
  if (!isnull(old)) return old.state == MODULE_STATE_LIVE ? -EEXIST : -EBUSY;
  list_add(mod.list, sym.modules);
  return 0;
}

function init_module_struct(mod: module_): void {
  mod.taints = 0;
  mod.args = 0;
  // The file's descriptor has a name and functions; all else is the kernel's to say.
  mod.num_kp = 0;
  mod.kobj = changetype<kernfs_node>(0);
  mod.sig_ok = false;
  INIT_LIST_HEAD(mod.source_list);
  INIT_LIST_HEAD(mod.target_list);
  // One for the module itself, one while its init function runs.
  mod.refcnt.counter = MODULE_REF_BASE + 1;
}

/** Nobody signs modules here. */
function check_signature(mod: module_): void {
  if (mod.sig_ok) return;
  if (!test_taint(TAINT_UNSIGNED_MODULE)) {
    pr_notice(
      c`%s: module verification failed: signature and/or required key missing - tainting kernel\n`, mod.name,
    );
  }
  add_taint_module(mod, TAINT_UNSIGNED_MODULE);
}

/** Takes a module out of the list and its memory back. */
function forget_module(mod: module_): void {
  list_del(mod.list);
  destroy_params(mod);
  if (mod.args) kfree(mod.args);
  module_memfree(mod.core_layout.base, mod.core_layout.size);
}

/** From symbols to code that every CPU can run, with the parameters that were given. */
function form_module(info: load_info): i32 {
  const mod = info.mod;
  let err = simplify_symbols(info);
  if (!err) err = apply_relocations(info);
  if (!err) err = find_module_params(mod, info);
  if (err) return err;
  add_kallsyms(mod, info);
  set_module_memory(mod);
  const wasm = section(info, info.index.wasm);
  if (!code_table_add(pa(wasm.sh_addr), <u32>wasm.sh_size, info.table_base, info.table_slots)) {
    pr_err(c`%s: the code in section .wasm cannot run\n`, mod.name);
    return -ENOEXEC;
  }
  mod.state = MODULE_STATE_COMING;
  err = parse_module_args(mod, mod.args);
  if (err) code_table_remove(mod.core_layout.base, mod.core_layout.size);
  return err;
}

/**
 * The kernel's half of loading, one module at a time: everything but files and the module's own init
 * function. `args` is the module's from here on, or freed.
 */
function place_module(info: load_info, args: usize): i32 {
  if (isnull(layout_and_allocate(info))) {
    kfree(args);
    return -ENOMEM;
  }
  const mod = info.mod;
  init_module_struct(mod);
  check_modinfo(info);
  let err = add_unformed_module(mod);
  if (err) {
    module_memfree(mod.core_layout.base, mod.core_layout.size);
    kfree(args);
    return err;
  }
  mod.args = args;
  check_signature(mod);
  err = form_module(info);
  if (err) {
    mod.state = MODULE_STATE_UNFORMED;
    forget_module(mod);
  }
  return err;
}

/** Runs the module's init function; a module whose init fails is gone again. */
export function do_init_module(mod: module_): i32 {
  const ret = mod.init == 0 ? 0 : call_indirect<i32>(text_index(mod.init));
  if (ret < 0) {
    mod.state = MODULE_STATE_GOING;
    module_put(mod);
    free_module(mod);
    return ret;
  }
  if (ret > 0) {
    pr_warn(
      c`%s: '%s'->init suspiciously returned %d, it should follow 0/-E convention\n`, c`do_init_module`,
      mod.name, ret,
    );
    pr_warn(c`%s: loading module anyway...\n`, c`do_init_module`);
  }
  mod.state = MODULE_STATE_LIVE;
  module_put(mod);
  return 0;
}

/** Takes a module that has no users out of everything. */
function free_module(mod: module_): void {
  mod_sysfs_teardown(mod);
  mutex_lock(sym.module_mutex);
  mod.state = MODULE_STATE_UNFORMED;
  code_table_remove(mod.core_layout.base, mod.core_layout.size);
  forget_module(mod);
  mutex_unlock(sym.module_mutex);
}

/** `info` has the file; `args` is kmalloc'ed and freed here, or the module's. */
export function load_module(info: load_info, args: usize, flags: u32): i32 {
  let err = elf_validity_check(info);
  if (!err) err = setup_load_info(info);
  if (!err) err = check_version(info, flags);
  if (err) {
    kfree(args);
    return err;
  }
  mutex_lock(sym.module_mutex);
  err = place_module(info, args);
  mutex_unlock(sym.module_mutex);
  if (err) return err;
  const mod = info.mod;
  err = mod_sysfs_setup(mod);
  if (!err) return do_init_module(mod);
  free_module(mod);
  return err;
}

/** A copy of the parameters' text; ERR_PTR when it cannot be read. */
function copy_args(uargs: u64): usize {
  const args = kzalloc(ARGS_MAX, GFP_KERNEL);
  if (!args) return ERR_PTR<usize>(-ENOMEM);
  const n = strncpy_from_user(args, uargs, <i32>ARGS_MAX);
  if (n >= 0 && <usize>n < ARGS_MAX) return args;
  kfree(args);
  return ERR_PTR<usize>(n < 0 ? n : -E2BIG);
}

/** Loads the `len` bytes at `file`, which are freed. */
function load_copied(file: usize, len: usize, uargs: u64, flags: u32): i64 {
  const info = changetype<load_info>(kzalloc(load_info.SIZE, GFP_KERNEL));
  const args = copy_args(uargs);
  let err: i64 = isnull(info) ? -ENOMEM : IS_ERR(args) ? PTR_ERR(args) : 0;
  if (!err) {
    info.hdr = changetype<elf64_hdr>(file);
    info.len = len;
    err = load_module(info, args, flags);
  } else if (!IS_ERR(args)) kfree(args);
  kfree(changetype<usize>(info));
  kfree(file);
  return err;
}

export function __do_sys_init_module(umod: u64, len: usize, uargs: u64): i64 {
  if (len < elf64_hdr.SIZE) return -ENOEXEC;
  if (len > KMALLOC_MAX_SIZE) return -ENOMEM;
  const file = kmalloc(len, GFP_KERNEL);
  if (!file) return -ENOMEM;
  if (copy_from_user(file, umod, len)) {
    kfree(file);
    return -EFAULT;
  }
  return load_copied(file, len, uargs, 0);
}

export function __do_sys_finit_module(fd: i32, uargs: u64, flags: u32): i64 {
  if (flags & ~(MODULE_INIT_IGNORE_MODVERSIONS | MODULE_INIT_IGNORE_VERMAGIC)) return -EINVAL;
  const slot = kzalloc(8, GFP_KERNEL);
  if (!slot) return -ENOMEM;
  const len = kernel_read_file_from_fd(fd, slot);
  const buf = load<u64>(slot);
  kfree(slot);
  if (len < 0) return len;
  // The structs of a file are read where they lie: its pages must be one piece.
  const file = <usize>len > KMALLOC_MAX_SIZE ? 0 : kmalloc(<usize>len, GFP_KERNEL);
  if (file) memcpy_from_vm(file, buf, <usize>len);
  vfree(buf);
  return file ? load_copied(file, <usize>len, uargs, flags) : -ENOMEM;
}

/** The module of that name, on its way out; an ERR_PTR when it stays. */
function stop_module(name: usize): module_ {
  const mod = find_module(name);
  if (isnull(mod)) return ERR_PTR<module_>(-ENOENT);
  if (!list_empty(mod.source_list)) return ERR_PTR<module_>(-EAGAIN);
  if (mod.state != MODULE_STATE_LIVE) return ERR_PTR<module_>(-EBUSY);
  if (mod.init != 0 && mod.exit == 0) return ERR_PTR<module_>(-EBUSY);
  if (module_refcount(mod) != 0) return ERR_PTR<module_>(-EAGAIN);
  mod.state = MODULE_STATE_GOING;
  return mod;
}

/** delete_module(2). A module with users stays: nobody waits here. */
export function __do_sys_delete_module(user: u64, flags: u32): i64 {
  const name = kzalloc(MODULE_NAME_LEN, GFP_KERNEL);
  if (!name) return -ENOMEM;
  if (strncpy_from_user(name, user, MODULE_NAME_LEN - 1) < 0) {
    kfree(name);
    return -EFAULT;
  }
  mutex_lock(sym.module_mutex);
  const mod = stop_module(name);
  mutex_unlock(sym.module_mutex);
  kfree(name);
  if (IS_ERR(mod)) return PTR_ERR(mod);
  if (mod.exit != 0) call_indirect<void>(text_index(mod.exit));
  const last = sym.last_unloaded_module;
  memory.copy(last, mod.name, strlen(mod.name));
  module_flags(mod, last + strlen(mod.name), false);
  free_module(mod);
  return 0;
}

/** The line of every oops and warning. */
export function print_modules(): void {
  printk(c`Modules linked in:`);
  const text = sym.module_flags_buf;
  const head = sym.modules;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const mod = module_.from_list(at);
    if (mod.state == MODULE_STATE_UNFORMED) continue;
    pr_cont(c` %s%s`, mod.name, module_flags(mod, text));
  }
  if (load<u8>(sym.last_unloaded_module)) pr_cont(c` [last unloaded: %s]`, sym.last_unloaded_module);
  pr_cont(c`\n`);
}
