/**
 * /proc/config.gz (kernel/configs.c): the configuration this kernel was built with. The build puts it into
 * .rodata, between the marks IKCFG_ST and IKCFG_ED, by which scripts/extract-ikconfig finds it in an image.
 */
import { EFAULT } from "../../include/generated/constants";
import { file, proc_dir_entry } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { copy_to_buf } from "../../arch/lib/usercopy";
import { default_llseek } from "../read_write";
import { proc_create, proc_set_size } from "./generic";

const MARK: usize = 8;

function config_size(): usize {
  return sym_kernel_config_data_end() - sym_kernel_config_data() - 2 * MARK;
}

export function ikconfig_read_current(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const size = config_size();
  if (pos >= <i64>size) return 0;
  const n = min<usize>(count, size - <usize>pos);
  return copy_to_buf(buf, sym_kernel_config_data() + MARK + <usize>pos, n) ? -EFAULT : n;
}

export function ikconfig_init(): void {
  const ops = sym.config_gz_proc_ops;
  ops.proc_read = fnptr(ikconfig_read_current);
  ops.proc_lseek = fnptr(default_llseek);
  const entry = proc_create(c`config.gz`, 0o444, changetype<proc_dir_entry>(0), ops);
  if (!isnull(entry)) proc_set_size(entry, config_size());
}
