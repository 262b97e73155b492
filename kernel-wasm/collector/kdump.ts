/**
 * Headers and bitmaps of a kdump-compressed dump, as tools/dump/kdump-writer.ts writes them; where the
 * members lie comes from tools/dump/kdump-header.ts, by the build.
 */
import {
  HEADER_VERSION,
  KDUMP_SIGNATURE,
  SUB_HEADER_SIZE,
  set_bitmap_blocks,
  set_block_size,
  set_dump_level,
  set_max_mapnr,
  set_max_mapnr64,
  set_microseconds,
  set_nr_cpus,
  set_offset_note,
  set_offset_vmcoreinfo,
  set_phys_base,
  set_seconds,
  set_size_note,
  set_size_vmcoreinfo,
  set_status,
  set_sub_hdr_size,
  set_version,
  UTSNAME_LENGTH,
  UTSNAME_OFFSET,
} from "./generated/kdump";
import { alloc, header, write } from "./world";

const UTSNAME_MEMBERS: usize = 6;

/** Blocks of a page that `bytes` take. */
function blocks(bytes: u64, page_size: u32): u64 {
  return (bytes + page_size - 1) / page_size;
}

/** A name of the kernel: UTF-8 as the host gives it, a byte a character as the kernel has it. */
function put_name(to: usize, text: usize, size: usize): void {
  const end = to + UTSNAME_LENGTH - 1;
  for (let i: usize = 0; i < size && to < end; i++) {
    let byte = load<u8>(text + i);
    if (byte >= 0x80 && i + 1 < size) byte = (byte << 6) | (load<u8>(text + ++i) & 0x3f);
    store<u8>(to++, byte);
  }
}

/**
 * Writes the dump's headers, `record` being what the host said of it (world.ts). Returns where the bitmaps
 * begin, 0 when writing failed.
 */
export function write_headers(record: usize, level: u32, codec: u32): u64 {
  const page_size = header.page_size(record);
  const notes_size = header.notes_size(record);
  const sub_blocks = blocks(SUB_HEADER_SIZE + notes_size, page_size);
  const size = <usize>(1 + sub_blocks) * page_size;
  const at = alloc(size);
  store<u64>(at, KDUMP_SIGNATURE);
  for (let n: usize = 0; n < UTSNAME_MEMBERS; n++) {
    const text = header.utsname(record) + (n << 3);
    put_name(at + UTSNAME_OFFSET + n * UTSNAME_LENGTH, load<usize>(text), load<usize>(text + 4));
  }
  set_version(at, HEADER_VERSION);
  set_seconds(at, header.seconds(record));
  set_microseconds(at, header.microseconds(record));
  set_status(at, codec);
  set_block_size(at, page_size);
  set_sub_hdr_size(at, sub_blocks);
  set_bitmap_blocks(at, 2 * bitmap_blocks(record));
  set_max_mapnr(at, header.end_page(record));
  set_nr_cpus(at, header.cpus(record));

  const sub = at + page_size;
  const notes = page_size + <u32>SUB_HEADER_SIZE;
  const vmcoreinfo_size = header.vmcoreinfo_size(record);
  set_phys_base(sub, header.phys_base(record));
  set_dump_level(sub, level | header.dump_level(record));
  set_offset_vmcoreinfo(sub, vmcoreinfo_size == 0 ? 0 : notes + header.vmcoreinfo_offset(record));
  set_size_vmcoreinfo(sub, vmcoreinfo_size);
  set_offset_note(sub, notes_size == 0 ? 0 : notes);
  set_size_note(sub, notes_size);
  set_max_mapnr64(sub, header.end_page(record));
  memory.copy(sub + SUB_HEADER_SIZE, header.notes(record), notes_size);
  return write(0, at, size) ? size : 0;
}

/** Of each of the two bitmaps. */
function bitmap_blocks(record: usize): u64 {
  const page_size = header.page_size(record);
  return blocks(blocks(header.end_page(record), 8), page_size);
}

/** Bytes of each of the two bitmaps in the file. */
export function bitmap_size(record: usize): usize {
  return <usize>bitmap_blocks(record) * header.page_size(record);
}
