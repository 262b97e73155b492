/** /sys/module/NAME (kernel/module/sysfs.c, kernel/params.c). */
import {
  ENOMEM,
  MODULE_STATE_COMING,
  MODULE_STATE_GOING,
  PAGE_SIZE,
  TAINT_FLAGS_COUNT,
} from "../../include/generated/constants";
import { kernel_param, kernfs_node, module_ } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { sysfs_create_attr, sysfs_create_dir, sysfs_create_file, sysfs_remove_dir } from "../../fs/sysfs";
import { strim } from "../../lib/string";
import { scnprintf } from "../../lib/vsprintf";
import { module_refcount } from "./main";
import { module_param } from "./params";

@inline
function module_of(kn: kernfs_node): module_ {
  return changetype<module_>(kn.priv);
}

export function module_coresize_show(kn: kernfs_node, buf: usize): i64 {
  return scnprintf(buf, <u32>PAGE_SIZE, c`%u\n`, module_of(kn).core_layout.size);
}

export function module_initsize_show(kn: kernfs_node, buf: usize): i64 {
  return scnprintf(buf, <u32>PAGE_SIZE, c`%u\n`, module_of(kn).init_layout.size);
}

export function module_initstate_show(kn: kernfs_node, buf: usize): i64 {
  const state = module_of(kn).state;
  const text = state == MODULE_STATE_COMING ? c`coming` : state == MODULE_STATE_GOING ? c`going` : c`live`;
  return scnprintf(buf, <u32>PAGE_SIZE, c`%s\n`, text);
}

export function module_refcnt_show(kn: kernfs_node, buf: usize): i64 {
  return scnprintf(buf, <u32>PAGE_SIZE, c`%i\n`, module_refcount(module_of(kn)));
}

export function module_taint_show(kn: kernfs_node, buf: usize): i64 {
  let at = buf;
  for (let i: u32 = 0; i < TAINT_FLAGS_COUNT; i++) {
    if ((module_of(kn).taints >> i) & 1) store<u8>(at++, sym.taint_flags[i].c_true);
  }
  store<u8>(at++, 0x0a);
  return at - buf;
}

/** Of a parameter. */
export function param_attr_show(kn: kernfs_node, buf: usize): i64 {
  const kp = changetype<kernel_param>(kn.priv);
  return call_indirect<i32>(text_index(kp.ops.get), buf, kp);
}

export function param_attr_store(kn: kernfs_node, buf: usize, count: usize): i64 {
  const kp = changetype<kernel_param>(kn.priv);
  const err = call_indirect<i32>(text_index(kp.ops.set), strim(buf), kp);
  return err ? err : count;
}

function add_params(mod: module_, dir: kernfs_node): bool {
  const params = sysfs_create_dir(c`parameters`, dir);
  if (isnull(params)) return false;
  for (let i: u32 = 0; i < mod.num_kp; i++) {
    const kp = module_param(mod, i);
    if (!kp.perm) continue;
    const kn = sysfs_create_file(params, kp.name, kp.perm, fnptr(param_attr_show), fnptr(param_attr_store));
    if (isnull(kn)) return false;
    kn.priv = changetype<usize>(kp);
  }
  return true;
}

/** 0 or -ENOMEM, with nothing left behind. */
export function mod_sysfs_setup(mod: module_): i32 {
  const dir = sysfs_create_dir(mod.name, sym.module_kset);
  if (isnull(dir)) return -ENOMEM;
  mod.kobj = dir;
  const at = changetype<usize>(mod);
  sysfs_create_attr(dir, c`coresize`, 0o444, fnptr(module_coresize_show), at);
  sysfs_create_attr(dir, c`initsize`, 0o444, fnptr(module_initsize_show), at);
  sysfs_create_attr(dir, c`initstate`, 0o444, fnptr(module_initstate_show), at);
  sysfs_create_attr(dir, c`refcnt`, 0o444, fnptr(module_refcnt_show), at);
  sysfs_create_attr(dir, c`taint`, 0o444, fnptr(module_taint_show), at);
  if (!mod.num_kp || add_params(mod, dir)) return 0;
  mod_sysfs_teardown(mod);
  return -ENOMEM;
}

export function mod_sysfs_teardown(mod: module_): void {
  if (!isnull(mod.kobj)) sysfs_remove_dir(mod.kobj);
  mod.kobj = changetype<kernfs_node>(0);
}

export function module_kset_init(): void {
  sym.module_kset = sysfs_create_dir(c`module`, changetype<kernfs_node>(0));
}
