/**
 * /proc/kallsyms (kernel/kallsyms.c): address, type letter and name of every symbol, in order of address.
 * Production only.
 */
import { KSYM_NAME_LEN } from "../../include/generated/constants";
import { file, inode, proc_dir_entry, seq_file } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { kallsyms_num_syms, kallsyms_symbol, kallsyms_symbol_address } from "../../kernel/kallsyms";
import { seq_open_private, seq_proc_ops, seq_release_private } from "../seq_iter";
import { seq_printf } from "../seq_file";
import { proc_create } from "./generic";

/** A record is its number plus one: 0 is the end. */
export function s_start(m: seq_file, pos: i64): usize {
  return pos < <i64>kallsyms_num_syms() ? <usize>pos + 1 : 0;
}

export function s_next(m: seq_file, v: usize, pos: i64): usize {
  return s_start(m, pos);
}

export function s_show(m: seq_file, v: usize): i32 {
  const index = <u32>v - 1;
  const name = m.private_;
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
