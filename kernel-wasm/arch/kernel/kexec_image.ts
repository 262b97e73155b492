/**
 * The loader of our kernel images, what kexec-bzimage64.c is to a bzImage: it probes the header and lays out
 * what the next kernel needs, as segments of the crash region in Linux's order:
 *
 *     backup of low memory   640 KiB, filled by purgatory
 *     elfcorehdr
 *     purgatory              runs first
 *     boot_params, cmdline   with its own e820 map: the region, without elfcorehdr and backup
 *     kernel, initrd
 *
 * Each goes as high in the region as it fits. Linux puts elfcorehdr at the region's start; there it would
 * cost the kernel, which is 64 KiB-aligned, 64 KiB of a region that may be no larger than 1 MiB.
 */
import {
  BOOT_E820_ENTRY_SIZE,
  COMMAND_LINE_SIZE,
  E820_TYPE_RAM,
  EINVAL,
  ELF_CORE_HEADER_ALIGN,
  ENOEXEC,
  ENOMEM,
  GFP_KERNEL,
  IMAGE_ALIGN,
  IMAGE_TYPE_KERNEL,
  IMAGE_TYPE_PURGATORY,
  IMAGE_VERSION,
  MAX_ELFCOREHDR_STR_LEN,
  MIN_BOOTPARAM_ADDR,
  MIN_KERNEL_LOAD_ADDR,
  MIN_PURGATORY_ADDR,
  PAGE_SIZE,
  PURGATORY_ALIGN,
} from "../../include/generated/constants";
import {
  boot_params,
  crash_mem,
  image_header,
  kimage,
  purgatory_info,
} from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { kexec_add_buffer } from "../../kernel/kexec_file";
import { pr_err } from "../../kernel/printk/printk";
import { snprintf } from "../../lib/vsprintf";
import { kfree, kzalloc } from "../../mm/slub";
import { crash_exclude_mem_range, determine_backup_region, prepare_elf_headers } from "./crash_elf";

/** "wkImage\0" */
const IMAGE_MAGIC: u64 = 0x00656761_6d496b77;

/** Whether a part of the image lies between its header and the end of the file. */
@inline
function part_ok(header: image_header, offset: u32, size: u32): bool {
  return offset >= image_header.SIZE && offset <= header.file_size && size <= header.file_size - offset;
}

/** 0, or -ENOEXEC with the reason in the log. The header lies within the buffer's first page. */
export function image_probe(buf: usize, len: u64): i32 {
  const header = changetype<image_header>(buf);
  let reason: usize = 0;
  if (len < image_header.SIZE) reason = c`File is too short to be a kernel image`;
  else if (load<u64>(buf) != IMAGE_MAGIC) reason = c`Not a kernel image`;
  else if (header.version != IMAGE_VERSION) reason = c`Image has another version`;
  else if (header.type != IMAGE_TYPE_KERNEL) reason = c`Image is not a kernel`;
  else if (header.file_size > len) reason = c`Image truncated`;
  else if (
    !part_ok(header, header.text_offset, header.text_size) ||
    !part_ok(header, header.wasm_offset, header.wasm_size) ||
    !part_ok(header, header.rodata_offset, header.rodata_size) ||
    !part_ok(header, header.data_offset, header.data_size) ||
    header.end_offset < header.file_size ||
    header.mem_size < header.end_offset ||
    header.mem_size < header.stack_offset
  ) {
    reason = c`Image header is damaged`;
  }
  if (reason == 0) return 0;
  pr_err(c`kexec-image: %s\n`, reason);
  return -ENOEXEC;
}

/**
 * Places `memsz` bytes, `bufsz` of them from the virtual address `buffer`, as the next segment;
 * sym.kexec_file_buf.mem says where.
 */
function add_segment(image: kimage, buffer: u64, bufsz: u64, memsz: u64, align: u64, lowest: u64): i32 {
  const kbuf = sym.kexec_file_buf;
  kbuf.image = image;
  kbuf.buffer_va = buffer;
  kbuf.bufsz = bufsz;
  kbuf.memsz = memsz;
  kbuf.buf_align = align;
  kbuf.buf_min = lowest;
  return kexec_add_buffer(kbuf);
}

/** The backup region, then the headers that mention it. */
function crash_load_segments(image: kimage): i32 {
  determine_backup_region(image);
  let error = 0;
  if (image.arch.backup_src_sz != 0) {
    error = add_segment(image, 0, 0, image.arch.backup_src_sz, PAGE_SIZE, 0);
    if (error) return error;
    image.arch.backup_load_addr = sym.kexec_file_buf.mem;
  }
  error = prepare_elf_headers(image);
  if (error) return error;
  const size = image.elf_headers_sz;
  error = add_segment(image, image.elf_headers_va, size, size, ELF_CORE_HEADER_ALIGN, 0);
  if (!error) image.elf_load_addr = sym.kexec_file_buf.mem;
  return error;
}

/**
 * A copy of the purgatory that is linked into this kernel; digests and addresses go into it when all have a
 * place.
 */
function kexec_load_purgatory(image: kimage): i32 {
  const blob = sym_kexec_purgatory();
  const header = changetype<image_header>(blob);
  if (load<u64>(blob) != IMAGE_MAGIC || header.type != IMAGE_TYPE_PURGATORY || header.params_offset == 0) {
    pr_err(c`kexec-image: Loading purgatory failed\n`);
    return -ENOEXEC;
  }
  const info = image.purgatory_info;
  const buf = kzalloc(header.end_offset, GFP_KERNEL);
  if (buf == 0) return -ENOMEM;
  info.purgatory_buf = buf;
  info.purgatory_buf_len = header.end_offset;
  info.params_offset = header.params_offset;
  memory.copy(buf, blob, header.file_size);
  const memsz = header.mem_size;
  const error = add_segment(image, va(buf), header.end_offset, memsz, PURGATORY_ALIGN, MIN_PURGATORY_ADDR);
  if (error) {
    pr_err(c`kexec-image: Loading purgatory failed\n`);
    return error;
  }
  info.purgatory_load_addr = sym.kexec_file_buf.mem;
  image.start = info.purgatory_load_addr;
  return 0;
}

/** The e820 map of the capture kernel: its region, without what it must read before it may be overwritten. */
function crash_setup_memmap_entries(image: kimage, params: boot_params): i32 {
  const cmem = changetype<crash_mem>(kzalloc(crash_mem.SIZE, GFP_KERNEL));
  if (isnull(cmem)) return -ENOMEM;
  cmem.max_nr_ranges = 4;
  cmem.nr_ranges = 1;
  cmem.ranges[0].start = sym.crashk_res.start;
  cmem.ranges[0].end = sym.crashk_res.end;
  const headers = image.elf_load_addr;
  let error = crash_exclude_mem_range(cmem, headers, headers + image.elf_headers_sz - 1);
  const backup = image.arch.backup_load_addr;
  if (!error && image.arch.backup_src_sz != 0) {
    error = crash_exclude_mem_range(cmem, backup, backup + image.arch.backup_src_sz - 1);
  }
  let entries: u8 = 0;
  for (let i: u32 = 0; !error && i < cmem.nr_ranges; i++) {
    const range = cmem.ranges[i];
    const size = range.end + 1 - range.start;
    if (size < PAGE_SIZE) continue;
    const entry = params.e820_table + <usize>entries * BOOT_E820_ENTRY_SIZE;
    store<u64>(entry, range.start);
    store<u64>(entry, size, 8);
    store<u32>(entry, E820_TYPE_RAM, 16);
    entries++;
  }
  params.e820_entries = entries;
  kfree(changetype<usize>(cmem));
  return error;
}

/** `elfcorehdr=0x<addr> ` and the caller's command line, behind boot_params. */
function setup_cmdline(image: kimage): void {
  const at = image.bootparams_buf + boot_params.SIZE;
  const prefix = <usize>snprintf(at, MAX_ELFCOREHDR_STR_LEN, c`elfcorehdr=0x%lx `, image.elf_load_addr);
  const length = <usize>image.cmdline_buf_len;
  if (length != 0) memory.copy(at + prefix, image.cmdline_buf, length);
  store<u8>(at + prefix + length - (length != 0 ? 1 : 0), 0);
  const params = changetype<boot_params>(image.bootparams_buf);
  params.cmd_line_ptr = <u32>(image.bootparams_load_addr + boot_params.SIZE);
}

/** Adds every segment of a crash image whose files are in image.{kernel,initrd,cmdline}_buf. */
export function image_load(image: kimage): i32 {
  const header = changetype<image_header>(image.kernel_buf);
  const kbuf = sym.kexec_file_buf;
  if (image.cmdline_buf_len >= COMMAND_LINE_SIZE) {
    pr_err(c`kexec-image: Kernel command line too long\n`);
    return -EINVAL;
  }
  if (image.cmdline_buf_len + MAX_ELFCOREHDR_STR_LEN >= COMMAND_LINE_SIZE) {
    pr_err(c`kexec-image: Appending elfcorehdr=<addr> to command line exceeds maximum allowed length\n`);
    return -EINVAL;
  }
  let error = crash_load_segments(image);
  if (error) return error;
  error = kexec_load_purgatory(image);
  if (error) return error;

  const params_size = <u64>(boot_params.SIZE + MAX_ELFCOREHDR_STR_LEN) + image.cmdline_buf_len;
  const params = changetype<boot_params>(kzalloc(<usize>params_size, GFP_KERNEL));
  if (isnull(params)) return -ENOMEM;
  image.bootparams_buf = changetype<usize>(params);
  error = add_segment(image, image.bootparams_buf_va, params_size, params_size, 16, MIN_BOOTPARAM_ADDR);
  if (error) return error;
  image.bootparams_load_addr = kbuf.mem;
  setup_cmdline(image);
  error = crash_setup_memmap_entries(image, params);
  if (error) return error;

  const memsz = header.mem_size;
  error = add_segment(image, image.kernel_buf_va, header.file_size, memsz, IMAGE_ALIGN, MIN_KERNEL_LOAD_ADDR);
  if (error) return error;
  image.kernel_load_addr = kbuf.mem;
  if (image.initrd_buf_len == 0) return 0;
  error = add_segment(image, image.initrd_buf_va, image.initrd_buf_len, image.initrd_buf_len, PAGE_SIZE, 0);
  if (error) return error;
  params.ramdisk_image = <u32>kbuf.mem;
  params.ramdisk_size = <u32>image.initrd_buf_len;
  return 0;
}

/** What purgatory needs besides the digest. */
export function image_fill_purgatory_info(image: kimage, info: purgatory_info): void {
  info.backup_src = image.arch.backup_src_start;
  info.backup_dest = image.arch.backup_load_addr;
  info.backup_sz = image.arch.backup_src_sz;
  info.kernel_entry = image.kernel_load_addr;
  info.boot_params = image.bootparams_load_addr;
}
