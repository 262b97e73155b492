/**
 * /sys/kernel (kernel/ksysfs.c): what of it concerns kdump.
 *
 *     kexec_loaded kexec_crash_loaded   0444  0 or 1
 *     kexec_crash_size                  0644  bytes; a smaller number gives the rest back to the system
 *     vmcoreinfo                        0444  physical address and size (hex) of the note
 *     notes                             0444  the kernel's own ELF notes: its build id
 *     oops_count warn_count             0444  how many there have been
 */
import { EINVAL, NT_GNU_BUILD_ID, VMCOREINFO_NOTE_SIZE } from "../include/generated/constants";
import { elf64_note, kernfs_node } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { sysfs_create_attr, sysfs_create_file } from "../fs/sysfs";
import { kstrtoull } from "../lib/string";
import { snprintf } from "../lib/vsprintf";
import { paddr_vmcoreinfo_note } from "./crash_core";
import { mutex_lock, mutex_unlock } from "./locking/mutex";
import { crash_get_memory_size, crash_shrink_memory } from "./kexec_core";

const PAGE: u32 = 4096;
const BUILD_ID_SIZE: u32 = 20;

function kexec_loaded_show(kn: kernfs_node, buf: usize): i64 {
  return snprintf(buf, PAGE, c`%d\n`, sym.kexec_image_va != 0 ? 1 : 0);
}

function kexec_crash_loaded_show(kn: kernfs_node, buf: usize): i64 {
  return snprintf(buf, PAGE, c`%d\n`, sym.kexec_crash_image_va != 0 ? 1 : 0);
}

function kexec_crash_size_show(kn: kernfs_node, buf: usize): i64 {
  const size = crash_get_memory_size();
  return size < 0 ? size : snprintf(buf, PAGE, c`%lu\n`, size);
}

function kexec_crash_size_store(kn: kernfs_node, buf: usize, count: usize): i64 {
  const value = sym.addr_of_ksysfs_value();
  mutex_lock(sym.ksysfs_mutex);
  const bad = kstrtoull(buf, 0, value) != 0;
  const size = load<u64>(value);
  mutex_unlock(sym.ksysfs_mutex);
  if (bad) return -EINVAL;
  const error = crash_shrink_memory(size);
  return error < 0 ? <i64>error : <i64>count;
}

function vmcoreinfo_show(kn: kernfs_node, buf: usize): i64 {
  return snprintf(buf, PAGE, c`0x%016llx %x\n`, paddr_vmcoreinfo_note(), VMCOREINFO_NOTE_SIZE);
}

/** The section .notes: NT_GNU_BUILD_ID, name "GNU". */
function notes_read(kn: kernfs_node, buf: usize): i64 {
  const note = changetype<elf64_note>(buf);
  note.n_namesz = 4;
  note.n_descsz = BUILD_ID_SIZE;
  note.n_type = NT_GNU_BUILD_ID;
  memory.copy(buf + elf64_note.SIZE, c`GNU`, 4);
  memory.copy(buf + elf64_note.SIZE + 4, sym.vmlinux_build_id, BUILD_ID_SIZE);
  return elf64_note.SIZE + 4 + BUILD_ID_SIZE;
}

function count_show(kn: kernfs_node, buf: usize): i64 {
  return snprintf(buf, PAGE, c`%d\n`, load<i32>(kn.priv));
}

function byteorder_show(kn: kernfs_node, buf: usize): i64 {
  return snprintf(buf, PAGE, c`little\n`);
}

function address_bits_show(kn: kernfs_node, buf: usize): i64 {
  return snprintf(buf, PAGE, c`64\n`);
}

/** core_initcall */
export function ksysfs_init(): i32 {
  const dir = sym.kernel_kobj;
  sysfs_create_file(dir, c`kexec_loaded`, 0o444, fnptr(kexec_loaded_show), 0);
  sysfs_create_file(dir, c`kexec_crash_loaded`, 0o444, fnptr(kexec_crash_loaded_show), 0);
  const store = fnptr(kexec_crash_size_store);
  sysfs_create_file(dir, c`kexec_crash_size`, 0o644, fnptr(kexec_crash_size_show), store);
  sysfs_create_file(dir, c`vmcoreinfo`, 0o444, fnptr(vmcoreinfo_show), 0);
  const notes = sysfs_create_file(dir, c`notes`, 0o444, fnptr(notes_read), 0);
  if (!isnull(notes)) notes.size = elf64_note.SIZE + 4 + BUILD_ID_SIZE;
  sysfs_create_attr(dir, c`oops_count`, 0o444, fnptr(count_show), sym.addr_of_oops_count());
  sysfs_create_attr(dir, c`warn_count`, 0o444, fnptr(count_show), sym.addr_of_warn_count());
  sysfs_create_file(dir, c`cpu_byteorder`, 0o444, fnptr(byteorder_show), 0);
  sysfs_create_file(dir, c`address_bits`, 0o444, fnptr(address_bits_show), 0);
  return 0;
}
