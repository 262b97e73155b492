/**
 * Module parameters (kernel/params.c): `name=value` words of init_module(2), and the files of
 * /sys/module/NAME/parameters.
 */
import { EINVAL, ENOEXEC, ENOMEM, ENOSPC, GFP_KERNEL, PAGE_SIZE } from "../../include/generated/constants";
import { kernel_param, kernel_param_ops, load_info, module_ } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { kstrtobool, kstrtoint, kstrtoull, strlen } from "../../lib/string";
import { scnprintf } from "../../lib/vsprintf";
import { kfree, kzalloc } from "../../mm/slub";
import { parameq, parse_args } from "../params";
import { pr_err, pr_warn } from "../printk/printk";
import { find_sec, section } from "./layout";

/** The longest text of a charp parameter. */
const CHARP_MAX: usize = 1024;

@inline
export function module_param(mod: module_, index: u32): kernel_param {
  return changetype<kernel_param>(changetype<usize>(mod.kp) + index * kernel_param.SIZE);
}

/** The array in section __param. 0, or -ENOEXEC when its relocations were not all there. */
export function find_module_params(mod: module_, info: load_info): i32 {
  mod.num_kp = 0;
  const index = find_sec(info, c`__param`);
  if (!index) return 0;
  mod.kp_va = section(info, index).sh_addr;
  const count = <u32>(section(info, index).sh_size / kernel_param.SIZE);
  for (let i: u32 = 0; i < count; i++) {
    const kp = module_param(mod, i);
    if (kp.mod_va != va(changetype<usize>(mod)) || !kp.ops_va || !kp.name_va || !kp.arg_va) return -ENOEXEC;
  }
  mod.num_kp = count;
  return 0;
}

/** One word of the arguments, for the module that is being loaded. */
export function parse_one(name: usize, value: usize): i32 {
  const mod = sym.module_being_parsed;
  for (let i: u32 = 0; i < mod.num_kp; i++) {
    const kp = module_param(mod, i);
    if (!parameq(name, kp.name)) continue;
    const err = call_indirect<i32>(text_index(kp.ops.set), value, kp);
    if (!err) return 0;
    pr_err(c`%s: \`%s' invalid for parameter \`%s'\n`, mod.name, value ? value : c``, name);
    if (!sym.module_parse_error) sym.module_parse_error = err;
    return err;
  }
  pr_warn(c`%s: unknown parameter '%s' ignored\n`, mod.name, name);
  return 0;
}

/** 0, or what is wrong with the first parameter that could not be set. */
export function parse_module_args(mod: module_, args: usize): i32 {
  sym.module_being_parsed = mod;
  sym.module_parse_error = 0;
  // The words are cut apart where they stand; the module keeps its text as it was.
  const words = kzalloc(strlen(args) + 1, GFP_KERNEL);
  if (!words) return -ENOMEM;
  memory.copy(words, args, strlen(args));
  parse_args(words, fnptr(parse_one));
  kfree(words);
  return sym.module_parse_error;
}

export function param_set_int(value: usize, kp: kernel_param): i32 {
  return value ? kstrtoint(value, 0, kp.arg) : -EINVAL;
}

export function param_get_int(buf: usize, kp: kernel_param): i32 {
  return scnprintf(buf, <u32>PAGE_SIZE, c`%i\n`, load<i32>(kp.arg));
}

export function param_set_uint(value: usize, kp: kernel_param): i32 {
  if (!value) return -EINVAL;
  const number = kzalloc(8, GFP_KERNEL);
  if (!number) return -ENOMEM;
  let err = kstrtoull(value, 0, number);
  if (!err && load<u32>(number, 4)) err = -EINVAL;
  if (!err) store<u32>(kp.arg, load<u32>(number));
  kfree(number);
  return err;
}

export function param_get_uint(buf: usize, kp: kernel_param): i32 {
  return scnprintf(buf, <u32>PAGE_SIZE, c`%u\n`, load<u32>(kp.arg));
}

export function param_set_ulong(value: usize, kp: kernel_param): i32 {
  return value ? kstrtoull(value, 0, kp.arg) : -EINVAL;
}

export function param_get_ulong(buf: usize, kp: kernel_param): i32 {
  return scnprintf(buf, <u32>PAGE_SIZE, c`%lu\n`, load<u64>(kp.arg));
}

/** The name alone means yes. */
export function param_set_bool(value: usize, kp: kernel_param): i32 {
  return kstrtobool(value ? value : c`1`, kp.arg);
}

export function param_get_bool(buf: usize, kp: kernel_param): i32 {
  return scnprintf(buf, <u32>PAGE_SIZE, c`%c\n`, load<u8>(kp.arg) ? 0x59 : 0x4e);
}

/** Frees a text that was set; the first one is the module's own. */
export function param_free_charp(kp: kernel_param): void {
  const text = load<u64>(kp.arg);
  const layout = kp.mod.core_layout;
  if (text && text - layout.base_va >= layout.size) kfree(pa(text));
}

/** When the module goes. */
export function destroy_params(mod: module_): void {
  for (let i: u32 = 0; i < mod.num_kp; i++) {
    const kp = module_param(mod, i);
    if (kp.ops.free != 0) call_indirect<void>(text_index(kp.ops.free), kp);
  }
}

/** A copy, kept until the next one is set. */
export function param_set_charp(value: usize, kp: kernel_param): i32 {
  if (!value) return -EINVAL;
  const len = strlen(value);
  if (len > CHARP_MAX) {
    pr_err(c`%s: string parameter too long\n`, kp.name);
    return -ENOSPC;
  }
  const copy = kzalloc(len + 1, GFP_KERNEL);
  if (!copy) return -ENOMEM;
  memory.copy(copy, value, len);
  param_free_charp(kp);
  store<u64>(kp.arg, va(copy));
  return 0;
}

export function param_get_charp(buf: usize, kp: kernel_param): i32 {
  return scnprintf(buf, <u32>PAGE_SIZE, c`%s\n`, pa(load<u64>(kp.arg)));
}

function init_ops(ops: kernel_param_ops, set: u64, get: u64): void {
  ops.set = set;
  ops.get = get;
}

export function param_ops_init(): void {
  init_ops(sym.param_ops_int, fnptr(param_set_int), fnptr(param_get_int));
  init_ops(sym.param_ops_uint, fnptr(param_set_uint), fnptr(param_get_uint));
  init_ops(sym.param_ops_ulong, fnptr(param_set_ulong), fnptr(param_get_ulong));
  init_ops(sym.param_ops_bool, fnptr(param_set_bool), fnptr(param_get_bool));
  init_ops(sym.param_ops_charp, fnptr(param_set_charp), fnptr(param_get_charp));
  sym.param_ops_charp.free = fnptr(param_free_charp);
}
