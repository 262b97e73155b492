/**
 * kexec_file_load(2) (kernel/kexec_file.c): reads kernel and initrd from files, lets the image's loader place
 * its segments in the crash region, hashes them for purgatory and copies them there. Checks and errors stand
 * in Linux's order.
 */
import {
  EADDRNOTAVAIL,
  EBUSY,
  EFAULT,
  EINVAL,
  ENOMEM,
  EPERM,
  GFP_KERNEL,
  KEXEC_CONTROL_PAGE_SIZE,
  KEXEC_FILE_FLAGS,
  KEXEC_FILE_NO_INITRAMFS,
  KEXEC_FILE_ON_CRASH,
  KEXEC_FILE_UNLOAD,
  KEXEC_SEGMENT_MAX,
  KEXEC_TYPE_CRASH,
  KEXEC_TYPE_DEFAULT,
  PAGE_SIZE,
} from "../include/generated/constants";
import { kexec_buf, kimage, pt_regs, purgatory_info } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { image_fill_purgatory_info, image_load, image_probe } from "../arch/kernel/kexec_image";
import { copy_from_user } from "../arch/lib/usercopy";
import { kernel_read_file_from_fd } from "../fs/kernel_read_file";
import { sha256_final, sha256_init, sha256_update } from "../lib/sha256";
import { get_order } from "../mm/page";
import { free_page, get_zeroed_page } from "../mm/page_alloc";
import { kfree, kmalloc } from "../mm/slub";
import { vfree, vm_piece } from "../mm/vmalloc";
import {
  do_kimage_alloc_init,
  kexec_load_permitted,
  kexec_trylock,
  kexec_unlock,
  kimage_alloc_crash_control_pages,
  kimage_crash_copy_vmcoreinfo,
  kimage_destination_at,
  kimage_free,
  kimage_load_crash_segment,
  sanity_check_segment_list,
} from "./kexec_core";
import { pr_err } from "./printk/printk";

/** Highest place for the buffer in [start, end] (inclusive) that no segment uses. */
function locate_mem_hole_top_down(start: u64, end: u64, kbuf: kexec_buf): bool {
  const memsz = kbuf.memsz;
  let at = (end + 1 - memsz) & ~(kbuf.buf_align - 1);
  const lowest = max(start, kbuf.buf_min);
  while (at >= lowest) {
    const taken = kimage_destination_at(kbuf.image, at, at + memsz - 1);
    if (taken < 0) {
      kbuf.mem = at;
      return true;
    }
    const below = kbuf.image.segment[taken].mem;
    if (below < memsz) return false;
    at = (below - memsz) & ~(kbuf.buf_align - 1);
  }
  return false;
}

/** A place in the crash region for kbuf.memsz bytes, into kbuf.mem; -EADDRNOTAVAIL when there is none. */
function kexec_locate_mem_hole(kbuf: kexec_buf): i32 {
  const region = sym.crashk_res;
  if (region.end == 0 || region.end - region.start + 1 < kbuf.memsz) return -EADDRNOTAVAIL;
  return locate_mem_hole_top_down(region.start, region.end, kbuf) ? 0 : -EADDRNOTAVAIL;
}

/** Finds a place for a buffer and makes it the image's next segment. */
export function kexec_add_buffer(kbuf: kexec_buf): i32 {
  const image = kbuf.image;
  if (!image.file_mode) return -EINVAL;
  if (image.nr_segments >= KEXEC_SEGMENT_MAX) return -EINVAL;
  // The control pages took holes that later buffers would not know of.
  if (!isnull(image.control_code_page)) return -EINVAL;
  kbuf.memsz = (kbuf.memsz + PAGE_SIZE - 1) & ~<u64>(PAGE_SIZE - 1);
  kbuf.buf_align = max<u64>(kbuf.buf_align, PAGE_SIZE);
  const error = kexec_locate_mem_hole(kbuf);
  if (error) return error;
  const segment = image.segment[<usize>image.nr_segments];
  segment.kbuf_va = kbuf.buffer_va;
  segment.bufsz = kbuf.bufsz;
  segment.mem = kbuf.mem;
  segment.memsz = kbuf.memsz;
  image.nr_segments++;
  return 0;
}

/** What is not needed once the segments are in place. */
export function kimage_file_post_load_cleanup(image: kimage): void {
  kfree(image.purgatory_info.purgatory_buf);
  image.purgatory_info.purgatory_buf = 0;
  vfree(image.kernel_buf_va);
  image.kernel_buf_va = 0;
  vfree(image.initrd_buf_va);
  image.initrd_buf_va = 0;
  kfree(image.cmdline_buf);
  image.cmdline_buf = 0;
  kfree(image.bootparams_buf);
  image.bootparams_buf = 0;
  kfree(image.elf_headers);
  image.elf_headers = 0;
}

function read_cmdline(image: kimage, cmdline: u64, len: u64): i32 {
  const buf = kmalloc(<usize>len, GFP_KERNEL);
  if (buf == 0) return -ENOMEM;
  image.cmdline_buf = buf;
  image.cmdline_buf_len = len;
  if (copy_from_user(buf, cmdline, <usize>len) != 0) return -EFAULT;
  // The length counts the NUL.
  return load<u8>(buf + <usize>len - 1) == 0 ? 0 : -EINVAL;
}

/** Reads the files and lets the loader add the segments. */
function kimage_file_prepare_segments(
  image: kimage,
  kernel_fd: i32,
  initrd_fd: i32,
  cmdline: u64,
  cmdline_len: u64,
  flags: u64,
): i32 {
  let read = kernel_read_file_from_fd(kernel_fd, kimage.addr_of_kernel_buf(image));
  if (read < 0) return <i32>read;
  image.kernel_buf_len = <u64>read;
  const error = image_probe(image.kernel_buf, image.kernel_buf_len);
  if (error) return error;
  if ((flags & KEXEC_FILE_NO_INITRAMFS) == 0) {
    read = kernel_read_file_from_fd(initrd_fd, kimage.addr_of_initrd_buf(image));
    if (read < 0) return <i32>read;
    image.initrd_buf_len = <u64>read;
  }
  if (cmdline_len != 0) {
    const error = read_cmdline(image, cmdline, cmdline_len);
    if (error) return error;
  }
  return image_load(image);
}

function update_digest(buf: u64, len: usize): void {
  while (len) {
    const part = vm_piece(buf, len);
    sha256_update(sym.kexec_digest_state, pa(buf), part);
    buf += part;
    len -= part;
  }
}

/**
 * Digest and list of all segments but two: purgatory carries the digest, and the backup is filled behind the
 * check.
 */
function kexec_calculate_store_digests(image: kimage): i32 {
  const zeros = get_zeroed_page(GFP_KERNEL);
  if (zeros == 0) return -ENOMEM;
  const purgatory = image.purgatory_info;
  const info = changetype<purgatory_info>(purgatory.purgatory_buf + <usize>purgatory.params_offset);
  memory.fill(changetype<usize>(info), 0, purgatory_info.SIZE);
  const state = sym.kexec_digest_state;
  sha256_init(state);
  let regions: usize = 0;
  for (let i: usize = 0; i < <usize>image.nr_segments; i++) {
    const segment = image.segment[i];
    if (segment.mem == purgatory.purgatory_load_addr) continue;
    if (image.arch.backup_src_sz != 0 && segment.mem == image.arch.backup_load_addr) continue;
    update_digest(segment.kbuf_va, <usize>segment.bufsz);
    for (let rest = <usize>(segment.memsz - segment.bufsz); rest != 0; ) {
      const part = min<usize>(rest, PAGE_SIZE);
      sha256_update(state, zeros, part);
      rest -= part;
    }
    info.sha_regions[regions].start = segment.mem;
    info.sha_regions[regions].len = segment.memsz;
    regions++;
  }
  sha256_final(state, info.sha256_digest);
  image_fill_purgatory_info(image, info);
  free_page(zeros);
  return 0;
}

/** Everything that can fail in a load. */
function kimage_file_load(
  image: kimage,
  kernel_fd: i32,
  initrd_fd: i32,
  cmdline: u64,
  cmdline_len: u64,
  flags: u64,
): i32 {
  image.file_mode = 1;
  image.control_page = sym.crashk_res.start;
  image.type = KEXEC_TYPE_CRASH;
  let error = kimage_file_prepare_segments(image, kernel_fd, initrd_fd, cmdline, cmdline_len, flags);
  if (!error) error = sanity_check_segment_list(image);
  if (error) return error;
  image.control_code_page = kimage_alloc_crash_control_pages(image, get_order(KEXEC_CONTROL_PAGE_SIZE));
  if (isnull(image.control_code_page)) {
    pr_err(c`kexec: Could not allocate control_code_buffer\n`);
    return -ENOMEM;
  }
  error = kimage_crash_copy_vmcoreinfo(image);
  if (!error) error = kexec_calculate_store_digests(image);
  for (let i: usize = 0; !error && i < <usize>image.nr_segments; i++) {
    error = kimage_load_crash_segment(image, image.segment[i]);
  }
  return error;
}

/** With the lock held. The image of the selected kind is the new one afterwards, or none. */
function kexec_file_replace(kernel_fd: i32, initrd_fd: i32, cmdline_len: u64, cmdline: u64, flags: u64): i32 {
  const on_crash = (flags & KEXEC_FILE_ON_CRASH) != 0;
  if ((flags & KEXEC_FILE_UNLOAD) != 0) {
    const old = on_crash ? sym.kexec_crash_image : sym.kexec_image;
    if (on_crash) sym.kexec_crash_image_va = 0;
    else sym.kexec_image_va = 0;
    kimage_free(old);
    return 0;
  }
  // A normal image lies scattered over free memory until kexec -e; only the crash kind is built.
  if (!on_crash) return -EINVAL;
  // The new image goes where the old one lies: free it before it is damaged, whatever comes of the load.
  kimage_free(sym.kexec_crash_image);
  sym.kexec_crash_image_va = 0;
  const image = do_kimage_alloc_init();
  if (isnull(image)) return -ENOMEM;
  const error = kimage_file_load(image, kernel_fd, initrd_fd, cmdline, cmdline_len, flags);
  if (error) {
    kimage_free(image);
    return error;
  }
  kimage_file_post_load_cleanup(image);
  sym.kexec_crash_image = image;
  return 0;
}

function __do_sys_kexec_file_load(
  kernel_fd: i32,
  initrd_fd: i32,
  cmdline_len: u64,
  cmdline: u64,
  flags: u64,
): i64 {
  // Every task is root's, with all capabilities: only the sysctls can forbid it.
  const type = flags & KEXEC_FILE_ON_CRASH ? KEXEC_TYPE_CRASH : KEXEC_TYPE_DEFAULT;
  if (!kexec_load_permitted(type)) return -EPERM;
  if ((flags & KEXEC_FILE_FLAGS) != flags) return -EINVAL;
  if (!kexec_trylock()) return -EBUSY;
  const result = kexec_file_replace(kernel_fd, initrd_fd, cmdline_len, cmdline, flags);
  kexec_unlock();
  return result;
}

/** kexec_file_load(kernel_fd, initrd_fd, cmdline_len, cmdline, flags) */
export function __x64_sys_kexec_file_load(regs: pt_regs): i64 {
  return __do_sys_kexec_file_load(<i32>regs.di, <i32>regs.si, regs.dx, regs.r10, regs.r8);
}
