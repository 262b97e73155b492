/**
 * kexec's core (kernel/kexec_core.c): the lock, the image and its segments in the crash region, and the way
 * into the loaded kernel at a crash.
 *
 * A crash image's segments are copied to their final addresses when it is loaded; at the crash nothing is
 * allocated, copied or waited for. The lock is only ever tried: a load that holds it at the crash means no
 * dump, never a deadlock.
 */
import {
  CONFIG_KEXEC_CORE,
  EADDRNOTAVAIL,
  EBUSY,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOMEM,
  GFP_KERNEL,
  IORESOURCE_BUSY,
  IORESOURCE_SYSTEM_RAM,
  KEXEC_CRASH_MEM_ALIGN,
  KEXEC_TYPE_CRASH,
  PAGE_SHIFT,
  PAGE_SIZE,
  PANIC_CPU_INVALID,
  VM_MAP,
  __PAGE_KERNEL,
} from "../include/generated/constants";
import { kexec_segment, kimage, page, resource, task_struct } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { crash_setup_regs, machine_crash_shutdown } from "../arch/kernel/crash";
import { machine_kexec } from "../arch/kernel/machine_kexec";
import { copy_from_user } from "../arch/lib/usercopy";
import { INIT_LIST_HEAD } from "../lib/list";
import { pfn_to_page } from "../mm/memory_model";
import { free_reserved_page } from "../mm/page_alloc";
import { kfree, kzalloc } from "../mm/slub";
import { memcpy_from_vm, vmap, vunmap } from "../mm/vmalloc";
import { crash_save_vmcoreinfo, crash_update_vmcoreinfo_safecopy } from "./crash_core";
import { kimage_file_post_load_cleanup } from "./kexec_file";
import { mutex_lock, mutex_unlock } from "./locking/mutex";
import { pr_warn } from "./printk/printk";
import { insert_resource, release_resource } from "./resource";

/** Highest physical address a segment may end at: MAXMEM - 1 of 46 bits. */
const KEXEC_DESTINATION_MEMORY_LIMIT: u64 = (1 << 46) - 1;

export function kexec_trylock(): bool {
  return atomic.cmpxchg<i32>(sym.addr_of_kexec_lock(), 0, 1) == 0;
}

export function kexec_unlock(): void {
  atomic.store<i32>(sym.addr_of_kexec_lock(), 0);
}

/** Whether kernel.kexec_load_disabled and the limit let an image be loaded; counts it. */
export function kexec_load_permitted(type: i32): bool {
  if (sym.kexec_load_disabled != 0) return false;
  const limit = type == KEXEC_TYPE_CRASH ? sym.load_limit_panic : sym.load_limit_reboot;
  mutex_lock(limit.mutex);
  const permitted = limit.limit != 0;
  if (permitted && limit.limit != -1) limit.limit -= 1;
  mutex_unlock(limit.mutex);
  return permitted;
}

/** What `Kdump: loaded` in an oops says. */
export function kexec_crash_loaded(): bool {
  return CONFIG_KEXEC_CORE && !isnull(sym.kexec_crash_image);
}

/** Whether an oops of this task is the end of the system, so that it goes straight to the capture kernel. */
export function kexec_should_crash(task: task_struct, in_interrupt: bool): bool {
  // With crash_kexec_post_notifiers the panic that follows does it, behind its notifiers.
  if (sym.crash_kexec_post_notifiers) return false;
  return in_interrupt || task.pid == 0 || task.tgid == 1 || sym.panic_on_oops != 0;
}

/**
 * Leaves for the capture kernel when an image is loaded, else returns. `regs` (a pt_regs, or 0: the caller's
 * own) go into this CPU's note.
 */
export function __crash_kexec(regs: usize): void {
  if (!CONFIG_KEXEC_CORE) return;
  if (!kexec_trylock()) return;
  if (!isnull(sym.kexec_crash_image)) {
    crash_setup_regs(sym.crash_fixed_regs, regs, fnptr(__crash_kexec));
    crash_save_vmcoreinfo();
    machine_crash_shutdown(sym.crash_fixed_regs);
    machine_kexec(sym.kexec_crash_image);
  }
  kexec_unlock();
}

/** Outside of panic(): only the first CPU may crash; it takes panic_cpu as panic does. */
export function crash_kexec(regs: usize): void {
  if (!CONFIG_KEXEC_CORE) return;
  const this_cpu = <i32>get_cpu();
  if (atomic.cmpxchg<i32>(sym.addr_of_panic_cpu(), PANIC_CPU_INVALID, this_cpu) != PANIC_CPU_INVALID) return;
  __crash_kexec(regs);
  atomic.store<i32>(sym.addr_of_panic_cpu(), PANIC_CPU_INVALID);
}

@inline
function page_count(bytes: u64): u64 {
  return (bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

@inline
function segment_end(segment: kexec_segment): u64 {
  return segment.mem + segment.memsz;
}

/** Linux's checks of a segment list, in Linux's order; inventory of rules at kexec_load(2). */
export function sanity_check_segment_list(image: kimage): i32 {
  const nr_segments = <usize>image.nr_segments;
  for (let i: usize = 0; i < nr_segments; i++) {
    const segment = image.segment[i];
    const end = segment_end(segment);
    if (segment.mem > end) return -EADDRNOTAVAIL;
    if (((segment.mem | end) & (PAGE_SIZE - 1)) != 0) return -EADDRNOTAVAIL;
    if (end >= KEXEC_DESTINATION_MEMORY_LIMIT) return -EADDRNOTAVAIL;
  }
  for (let i: usize = 0; i < nr_segments; i++) {
    const segment = image.segment[i];
    for (let j: usize = 0; j < i; j++) {
      const other = image.segment[j];
      if (segment_end(segment) > other.mem && segment.mem < segment_end(other)) return -EINVAL;
    }
  }
  for (let i: usize = 0; i < nr_segments; i++) {
    if (image.segment[i].bufsz > image.segment[i].memsz) return -EINVAL;
  }
  const half_of_ram = <u64>sym._totalram_pages.counter / 2;
  let total_pages: u64 = 0;
  for (let i: usize = 0; i < nr_segments; i++) {
    const pages = page_count(image.segment[i].memsz);
    if (pages > half_of_ram) return -EINVAL;
    total_pages += pages;
  }
  if (total_pages > half_of_ram) return -EINVAL;
  if (image.type != KEXEC_TYPE_CRASH) return 0;
  for (let i: usize = 0; i < nr_segments; i++) {
    const segment = image.segment[i];
    if (segment.mem < sym.crashk_res.start) return -EADDRNOTAVAIL;
    if (segment_end(segment) - 1 > sym.crashk_res.end) return -EADDRNOTAVAIL;
  }
  return 0;
}

/** An empty image, or null without memory. */
export function do_kimage_alloc_init(): kimage {
  const image = changetype<kimage>(kzalloc(kimage.SIZE, GFP_KERNEL));
  if (isnull(image)) return image;
  image.entry_va = va(kimage.addr_of_head(image));
  image.last_entry_va = image.entry_va;
  image.control_page = u64.MAX_VALUE;
  INIT_LIST_HEAD(image.control_pages);
  INIT_LIST_HEAD(image.dest_pages);
  INIT_LIST_HEAD(image.unusable_pages);
  return image;
}

/** Whether a segment lies in [start, end], both inclusive. Gives the segment's number, or -1. */
export function kimage_destination_at(image: kimage, start: u64, end: u64): i32 {
  for (let i: usize = 0; i < <usize>image.nr_segments; i++) {
    const segment = image.segment[i];
    if (end >= segment.mem && start < segment_end(segment)) return <i32>i;
  }
  return -1;
}

/**
 * `1 << order` pages of the crash region that no segment uses: for code and data that must survive the crash
 * but are no part of the image. The search goes on behind the last ones. Null when there is no hole left.
 */
export function kimage_alloc_crash_control_pages(image: kimage, order: u32): page {
  const size: u64 = <u64>PAGE_SIZE << order;
  let start = (image.control_page + size - 1) & ~(size - 1);
  while (start + size - 1 <= sym.crashk_res.end) {
    const taken = kimage_destination_at(image, start, start + size - 1);
    if (taken < 0) {
      image.control_page = start + size;
      return pfn_to_page(<usize>(start >> PAGE_SHIFT));
    }
    start = (segment_end(image.segment[taken]) + size - 1) & ~(size - 1);
  }
  return changetype<page>(0);
}

/** A page in the crash region for VMCOREINFO: the crashing kernel's stray writes do not reach it. */
export function kimage_crash_copy_vmcoreinfo(image: kimage): i32 {
  if (image.type != KEXEC_TYPE_CRASH) return 0;
  const vmcoreinfo_page = kimage_alloc_crash_control_pages(image, 0);
  if (isnull(vmcoreinfo_page)) {
    pr_warn(c`kexec: Could not allocate vmcoreinfo buffer\n`);
    return -ENOMEM;
  }
  store<u64>(sym.addr_of_vmcoreinfo_page(), va(changetype<usize>(vmcoreinfo_page)));
  const safecopy = vmap(sym.addr_of_vmcoreinfo_page(), 1, VM_MAP, __PAGE_KERNEL);
  if (!safecopy) {
    pr_warn(c`kexec: Could not vmap vmcoreinfo buffer\n`);
    return -ENOMEM;
  }
  image.vmcoreinfo_data_copy_va = safecopy;
  crash_update_vmcoreinfo_safecopy(safecopy);
  return 0;
}

/** Puts a segment where it will run; what the source does not fill becomes zero. */
export function kimage_load_crash_segment(image: kimage, segment: kexec_segment): i32 {
  const mem = <usize>segment.mem;
  const bufsz = <usize>segment.bufsz;
  if (image.file_mode) memcpy_from_vm(mem, segment.kbuf_va, bufsz);
  else if (copy_from_user(mem, segment.kbuf_va, bufsz) != 0) return -EFAULT;
  memory.fill(mem + bufsz, 0, <usize>segment.memsz - bufsz);
  return 0;
}

/** Takes null. */
export function kimage_free(image: kimage): void {
  if (isnull(image)) return;
  if (image.vmcoreinfo_data_copy_va != 0) {
    crash_update_vmcoreinfo_safecopy(0);
    vunmap(image.vmcoreinfo_data_copy_va);
  }
  if (image.file_mode) kimage_file_post_load_cleanup(image);
  kfree(changetype<usize>(image));
}

/** Bytes of the crash region, or -EBUSY. */
export function crash_get_memory_size(): i64 {
  if (!kexec_trylock()) return -EBUSY;
  const size = crash_res_size();
  kexec_unlock();
  return <i64>size;
}

function crash_res_size(): u64 {
  return sym.crashk_res.end == 0 ? 0 : sym.crashk_res.end - sym.crashk_res.start + 1;
}

/** Gives the region's tail back to the system: /sys/kernel/kexec_crash_size. */
export function crash_shrink_memory(new_size: u64): i32 {
  if (!kexec_trylock()) return -EBUSY;
  const error = shrink_region(new_size);
  kexec_unlock();
  return error;
}

function shrink_region(new_size: u64): i32 {
  if (!isnull(sym.kexec_crash_image)) return -ENOENT;
  const old_size = crash_res_size();
  if (new_size >= old_size) return new_size == old_size ? 0 : -EINVAL;
  const ram = changetype<resource>(kzalloc(resource.SIZE, GFP_KERNEL));
  if (isnull(ram)) return -ENOMEM;
  const crashk = sym.crashk_res;
  const last = crashk.end;
  const end = (crashk.start + new_size + KEXEC_CRASH_MEM_ALIGN - 1) & ~<u64>(KEXEC_CRASH_MEM_ALIGN - 1);
  if (end > last) {
    kfree(changetype<usize>(ram));
    return 0;
  }
  for (let at = end; at < last; at += PAGE_SIZE) free_reserved_page(pfn_to_page(<usize>(at >> PAGE_SHIFT)));
  if (end == crashk.start) {
    release_resource(crashk);
    crashk.start = 0;
    crashk.end = 0;
  } else {
    crashk.end = end - 1;
  }
  ram.start = end;
  ram.end = last;
  ram.flags = IORESOURCE_BUSY | IORESOURCE_SYSTEM_RAM;
  ram.name = c`System RAM`;
  insert_resource(sym.iomem_resource, ram);
  return 0;
}
