/**
 * Initcalls: what Linux's linker collects by level, in one list. They run in this order, each once; the
 * probes of slow hardware are handed to workers and overtake each other.
 */
import {
  CONFIG_CRASH_DUMP,
  CONFIG_DEBUG_FS,
  CONFIG_KEXEC_CORE,
  CONFIG_LKDTM,
  CONFIG_NET,
  CONFIG_PROC_VMCORE,
  INITCALLS_MAX,
  LOGLEVEL_DEBUG,
} from "../include/generated/constants";
import { initcall } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { brd_init } from "../drivers/block/brd";
import { cpu_dev_init } from "../drivers/base/cpu";
import { random_probe } from "../drivers/char/random";
import { lkdtm_module_init } from "../drivers/misc/lkdtm/core";
import { net_dev_init } from "../drivers/net/loopback";
import { rtc_cmos_probe } from "../drivers/rtc/rtc";
import { serial8250_probe } from "../drivers/tty/serial8250";
import { sysrq_init } from "../drivers/tty/sysrq";
import { tty_init } from "../drivers/tty/tty_io";
import { debugfs_init } from "../fs/debugfs/inode";
import { virtio_balloon_init } from "../drivers/virtio/balloon";
import { default_rootfs } from "../fs/init";
import { init_pipe_fs } from "../fs/pipe";
import { shmem_init } from "../mm/shmem";
import { init_hostfs } from "../fs/hostfs/hostfs";
import { vmcore_init } from "../fs/proc/vmcore";
import { async_schedule } from "../kernel/async";
import { crash_notes_memory_init, crash_save_vmcoreinfo_init } from "../kernel/crash_core";
import { hung_task_init } from "../kernel/hung_task";
import { ksysfs_init } from "../kernel/ksysfs";
import { panic } from "../kernel/panic";
import { register_kernel_offset_dumper } from "../arch/kernel/kernel_offset";
import { hugetlb_init } from "../mm/hugetlb";
import { kswapd_init } from "../mm/kswapd";
import { oom_init } from "../mm/oom_kill";
import { memory_failure_init } from "../mm/memory-failure";
import { swap_init } from "../mm/swapon";
import { printk_level } from "../kernel/printk/printk";
import { ktime_get } from "../kernel/time";
import { populate_rootfs } from "./initramfs";

const LEVEL_CORE: i32 = 1;
const LEVEL_SUBSYS: i32 = 4;
const LEVEL_FS: i32 = 5;
const LEVEL_DEVICE: i32 = 6;

function add(level: i32, fn: u64, name: usize): void {
  const index = sym.nr_initcalls++;
  if (index >= INITCALLS_MAX) panic(c`initcalls: too many`);
  const call: initcall = sym.initcalls[index];
  call.fn = fn;
  call.name = name;
  call.level = level;
}

function initcalls_init(): void {
  if (CONFIG_DEBUG_FS) add(LEVEL_CORE, fnptr(debugfs_init), c`debugfs_init`);
  if (CONFIG_KEXEC_CORE) {
    add(LEVEL_CORE, fnptr(ksysfs_init), c`ksysfs_init`);
    add(LEVEL_SUBSYS, fnptr(crash_save_vmcoreinfo_init), c`crash_save_vmcoreinfo_init`);
    add(LEVEL_SUBSYS, fnptr(crash_notes_memory_init), c`crash_notes_memory_init`);
    add(LEVEL_SUBSYS, fnptr(cpu_dev_init), c`cpu_dev_init`);
  }
  if (!CONFIG_CRASH_DUMP) {
    add(LEVEL_SUBSYS, fnptr(hung_task_init), c`hung_task_init`);
    add(LEVEL_SUBSYS, fnptr(swap_init), c`swap_init`);
  }
  if (CONFIG_NET) add(LEVEL_SUBSYS, fnptr(net_dev_init), c`net_dev_init`);
  if (CONFIG_PROC_VMCORE) add(LEVEL_FS, fnptr(vmcore_init), c`vmcore_init`);
  if (!CONFIG_CRASH_DUMP) {
    add(LEVEL_FS, fnptr(init_pipe_fs), c`init_pipe_fs`);
    add(LEVEL_FS, fnptr(shmem_init), c`shmem_init`);
  }
  add(LEVEL_FS, fnptr(tty_init), c`tty_init`);
  add(LEVEL_FS, fnptr(init_hostfs), c`init_hostfs`);
  add(LEVEL_FS, fnptr(default_rootfs), c`default_rootfs`);
  add(LEVEL_FS, fnptr(populate_rootfs), c`populate_rootfs`);
  add(LEVEL_DEVICE, fnptr(register_kernel_offset_dumper), c`register_kernel_offset_dumper`);
  add(LEVEL_DEVICE, fnptr(serial8250_init), c`serial8250_init`);
  add(LEVEL_DEVICE, fnptr(hwrng_init), c`hwrng_init`);
  add(LEVEL_DEVICE, fnptr(cmos_init), c`cmos_init`);
  add(LEVEL_DEVICE, fnptr(sysrq_init), c`sysrq_init`);
  if (!CONFIG_CRASH_DUMP) {
    add(LEVEL_DEVICE, fnptr(kswapd_init), c`kswapd_init`);
    add(LEVEL_DEVICE, fnptr(brd_init), c`brd_init`);
    add(LEVEL_DEVICE, fnptr(hugetlb_init), c`hugetlb_init`);
    add(LEVEL_DEVICE, fnptr(memory_failure_init), c`memory_failure_init`);
    add(LEVEL_DEVICE, fnptr(virtio_balloon_init), c`virtio_balloon_init`);
    add(LEVEL_DEVICE, fnptr(oom_init), c`oom_init`);
  }
  if (CONFIG_LKDTM) add(LEVEL_DEVICE, fnptr(lkdtm_module_init), c`lkdtm_module_init`);
}

function serial8250_init(): i32 {
  async_schedule(fnptr(serial8250_probe), 0);
  return 0;
}

function hwrng_init(): i32 {
  async_schedule(fnptr(random_probe), 0);
  return 0;
}

function cmos_init(): i32 {
  async_schedule(fnptr(rtc_cmos_probe), 0);
  return 0;
}

export function do_one_initcall(call: initcall): i32 {
  if (!sym.initcall_debug) return call_indirect<i32>(text_index(call.fn));
  printk_level(LOGLEVEL_DEBUG, c`calling  %pS @ %i\n`, call.fn, 1);
  const start = ktime_get();
  const result = call_indirect<i32>(text_index(call.fn));
  printk_level(
    LOGLEVEL_DEBUG, c`initcall %pS returned %d after %lld usecs\n`, call.fn, result,
    (ktime_get() - start) / 1000,
  );
  return result;
}

/** Runs what has not run yet: kernel_init may start over, an initcall may not. */
export function do_initcalls(): void {
  if (!sym.nr_initcalls) initcalls_init();
  while (sym.initcall_next < sym.nr_initcalls) do_one_initcall(sym.initcalls[sym.initcall_next++]);
}
