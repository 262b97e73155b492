/**
 * /proc/kallsyms (kernel/kallsyms.c): address, type letter and name of every symbol, in order of address.
 */
import { KSYM_NAME_LEN, MODULE_STATE_UNFORMED } from "../../include/generated/constants";
import { file, inode, module_, proc_dir_entry, seq_file } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { kallsyms_num_syms, kallsyms_symbol, kallsyms_symbol_address } from "../../kernel/kallsyms";
import { seq_open_private, seq_proc_ops, seq_release_private } from "../seq_iter";
import { module_symbol, module_symbol_name } from "../../kernel/module/kallsyms";
import { list_is_head } from "../../lib/list";
import { seq_printf } from "../seq_file";
import { proc_create } from "./generic";

/** The module that has the symbol of this number among those of all modules, and the number in it. */
function module_symbol_at(number: u32, index: usize): module_ {
  const head = sym.modules;
  for (let at = head.next; !list_is_head(at, head); at = at.next) {
    const mod = module_.from_list(at);
    if (mod.state == MODULE_STATE_UNFORMED) continue;
    const own = mod.core_kallsyms.num_symtab - 1;
    if (number < own) {
      store<u32>(index, number + 1);
      return mod;
    }
    number -= own;
  }
  return changetype<module_>(0);
}

/** A record is its number plus one: 0 is the end. The kernel's symbols, then those of each module. */
export function s_start(m: seq_file, pos: i64): usize {
  const own: i64 = kallsyms_num_syms();
  if (pos >= own && isnull(module_symbol_at(<u32>(pos - own), m.private_))) return 0;
  return <usize>pos + 1;
}

export function s_next(m: seq_file, v: usize, pos: i64): usize {
  return s_start(m, pos);
}

export function s_show(m: seq_file, v: usize): i32 {
  const index = <u32>v - 1;
  const name = m.private_;
  if (index >= kallsyms_num_syms()) {
    const mod = module_symbol_at(index - kallsyms_num_syms(), name);
    if (isnull(mod)) return 0;
    const number = load<u32>(name);
    const symbol_letter = load<u8>(mod.core_kallsyms.typetab + number);
    seq_printf(
      m, c`%016llx %c %s\t[%s]\n`, module_symbol(mod, number).st_value, symbol_letter,
      module_symbol_name(mod, number), mod.name,
    );
    return 0;
  }
  const letter = kallsyms_symbol(index, name, name + KSYM_NAME_LEN);
  seq_printf(m, c`%016llx %c %s\n`, kallsyms_symbol_address(index), letter, name);
  return 0;
}

export function kallsyms_open(node: inode, filp: file): i32 {
  return seq_open_private(filp, fnptr(s_start), fnptr(s_next), fnptr(s_show), KSYM_NAME_LEN);
}

export function kallsyms_init(): void {
  const ops = seq_proc_ops(sym.kallsyms_proc_ops, fnptr(kallsyms_open));
  ops.proc_release = fnptr(seq_release_private);
  proc_create(c`kallsyms`, 0o444, changetype<proc_dir_entry>(0), ops);
}
