/** /proc/modules (kernel/module/procfs.c). */
import {
  MODULE_STATE_COMING,
  MODULE_STATE_GOING,
  MODULE_STATE_UNFORMED,
} from "../../include/generated/constants";
import { module_, proc_dir_entry, seq_file } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { list_is_head } from "../../lib/list";
import { proc_create_single } from "../../fs/proc/generic";
import { seq_printf } from "../../fs/seq_file";
import { load_code_table } from "../../arch/kernel/module";
import { module_flags, module_refcount } from "./main";
import { param_ops_init } from "./params";
import { module_kset_init } from "./sysfs";

/** Name, size, users, who they are, state, address, taint. */
export function modules_proc_show(m: seq_file, v: usize): i32 {
  const head = sym.modules;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const mod = module_.from_list(at);
    if (mod.state == MODULE_STATE_UNFORMED) continue;
    const going = mod.state == MODULE_STATE_GOING;
    const state = going ? c`Unloading` : mod.state == MODULE_STATE_COMING ? c`Loading` : c`Live`;
    const flags = module_flags(mod, sym.module_flags_buf);
    seq_printf(
      m, c`%s %u %i - %s 0x%px%s%s\n`, mod.name, mod.init_layout.size + mod.core_layout.size,
      module_refcount(mod), state, mod.core_layout.base_va, load<u8>(flags) ? c` ` : c``, flags,
    );
  }
  return 0;
}

/** From proc_root_init. */
export function proc_modules_init(): void {
  proc_create_single(c`modules`, 0o444, changetype<proc_dir_entry>(0), fnptr(modules_proc_show));
  param_ops_init();
  module_kset_init();
  load_code_table();
}
