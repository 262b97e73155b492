/** The list of loaded modules (kernel/module.c) and /proc/modules. Production only. */
import {
  MODULE_STATE_COMING,
  MODULE_STATE_GOING,
  MODULE_STATE_UNFORMED,
  TAINT_FLAGS_COUNT,
} from "../include/generated/constants";
import { module_, proc_dir_entry, seq_file } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { proc_create_single } from "../fs/proc/generic";
import { seq_printf, seq_putc, seq_puts } from "../fs/seq_file";
import { INIT_LIST_HEAD, list_is_head } from "../lib/list";

/** `(OE)`: the taint that a module brought. */
function module_flags(m: seq_file, mod: module_): void {
  seq_puts(m, c` (`);
  for (let i: u32 = 0; i < TAINT_FLAGS_COUNT; i++) {
    if ((mod.taints >> i) & 1) seq_putc(m, sym.taint_flags[i].c_true);
  }
  seq_putc(m, 0x29);
}

/** Name, size, users, who they are, state, address. */
export function modules_proc_show(m: seq_file, v: usize): i32 {
  const head = sym.modules;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const mod = module_.from_list(at);
    if (mod.state == MODULE_STATE_UNFORMED) continue;
    const going = mod.state == MODULE_STATE_GOING;
    const state = going ? c`Unloading` : mod.state == MODULE_STATE_COMING ? c`Loading` : c`Live`;
    seq_printf(
      m, c`%s %u %d - %s 0x%016llx`, mod.name, mod.init_layout.size + mod.core_layout.size,
      mod.refcnt.counter, state, mod.core_layout.base_va,
    );
    if (mod.taints) module_flags(m, mod);
    seq_putc(m, 0x0a);
  }
  return 0;
}

/** From proc_root_init. */
export function proc_modules_init(): void {
  INIT_LIST_HEAD(sym.modules);
  proc_create_single(c`modules`, 0o444, changetype<proc_dir_entry>(0), fnptr(modules_proc_show));
}
