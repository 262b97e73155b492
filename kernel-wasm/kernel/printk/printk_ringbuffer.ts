/**
 * The lockless ring buffer of the log, in Linux 5.15's format and with its algorithm (kernel/printk/
 * printk_ringbuffer.c): a ring of descriptors with a parallel ring of printk_info, and a ring of text blocks.
 * A record that was being written when the machine died stays "reserved" and readers skip it; every other one
 * is readable.
 *
 *     state_var = state << 62 | id          id = number of the descriptor, counting on over wraps
 *     reserved -> committed -> finalized -> reusable -> reserved of the next wrap
 *     (a committed record may be reopened by the CPU's next KERN_CONT)
 *     lpos = logical position in the text ring; a block is {id, text} padded to 8 bytes and never wraps: one
 *     that would is placed at the start of the ring, and only its id stands at the old place
 *
 * Linux's struct prb_reserved_entry lives on a C stack; here a reservation is the descriptor's id, and text
 * and info are found from it.
 */
import {
  desc_committed,
  desc_finalized,
  desc_miss,
  desc_reserved,
  desc_reusable,
} from "../../include/generated/constants";
import {
  atomic_long_t,
  prb_data_blk_lpos,
  prb_desc,
  printk_info,
  printk_ringbuffer,
} from "../../include/generated/structs";

const ID_MASK: u64 = 0x3fffffffffffffff;
/** Lowest bit set: no block. Of a record that found no room, and of one without text. */
const FAILED_LPOS: u64 = 1;
const NO_LPOS: u64 = 3;
/** sizeof(unsigned long): the id before the text of a block. */
const BLOCK_HEADER: u32 = 8;

/** No reservation; no record. */
export const PRB_NONE: u64 = 0xffffffffffffffff;

@inline function read(a: atomic_long_t): u64 {
  return atomic.load<u64>(changetype<usize>(a));
}

@inline function cmpxchg(a: atomic_long_t, from: u64, to: u64): bool {
  return atomic.cmpxchg<u64>(changetype<usize>(a), from, to) == from;
}

@inline function descs_count(rb: printk_ringbuffer): u64 {
  return 1 << (rb.desc_ring.count_bits as u64);
}

@inline function to_desc(rb: printk_ringbuffer, n: u64): prb_desc {
  const index = (n as usize) & ((descs_count(rb) as usize) - 1);
  return changetype<prb_desc>(changetype<usize>(rb.desc_ring.descs) + index * prb_desc.SIZE);
}

@inline function to_info(rb: printk_ringbuffer, n: u64): printk_info {
  const index = (n as usize) & ((descs_count(rb) as usize) - 1);
  return changetype<printk_info>(changetype<usize>(rb.desc_ring.infos) + index * printk_info.SIZE);
}

@inline function data_size(rb: printk_ringbuffer): u64 {
  return 1 << (rb.text_data_ring.size_bits as u64);
}

@inline function to_block(rb: printk_ringbuffer, lpos: u64): usize {
  return rb.text_data_ring.data + (lpos as usize & ((data_size(rb) as usize) - 1));
}

@inline function data_wraps(rb: printk_ringbuffer, lpos: u64): u64 {
  return lpos >> (rb.text_data_ring.size_bits as u64);
}

@inline function desc_sv(id: u64, state: i32): u64 {
  return ((state as u64) << 62) | (id & ID_MASK);
}

@inline function desc_id(id: u64): u64 {
  return id & ID_MASK;
}

function get_desc_state(id: u64, state_var: u64): i32 {
  return desc_id(state_var) == id ? ((state_var >> 62) as i32) : desc_miss;
}

function desc_state(rb: printk_ringbuffer, id: u64): i32 {
  return get_desc_state(id, read(to_desc(rb, id).state_var));
}

/**
 * Empties the buffer: the first record will be number 0, and ids start such that they wrap early (as Linux).
 */
export function prb_init(
  rb: printk_ringbuffer, text: usize, size_bits: u32, descs: usize, infos: usize, count_bits: u32,
): void {
  const count: u64 = 1 << (count_bits as u64);
  rb.desc_ring.count_bits = count_bits;
  rb.desc_ring.descs = changetype<prb_desc>(descs);
  rb.desc_ring.infos = changetype<printk_info>(infos);
  rb.text_data_ring.size_bits = size_bits;
  rb.text_data_ring.data = text;
  memory.fill(descs, 0, (count as usize) * prb_desc.SIZE);
  memory.fill(infos, 0, (count as usize) * printk_info.SIZE);
  const first_id = desc_id(0 - (count + 1));
  rb.desc_ring.head_id.counter = first_id as i64;
  rb.desc_ring.tail_id.counter = first_id as i64;
  const last = to_desc(rb, count - 1);
  last.state_var.counter = desc_sv(first_id, desc_reusable) as i64;
  last.text_blk_lpos.begin = FAILED_LPOS;
  last.text_blk_lpos.next = FAILED_LPOS;
  const first = to_info(rb, 0);
  first.seq = 0 - count;
  const first_lpos = 0 - data_size(rb);
  rb.text_data_ring.head_lpos.counter = first_lpos as i64;
  rb.text_data_ring.tail_lpos.counter = first_lpos as i64;
  rb.fail.counter = 0;
}

function to_blk_size(size: u32): u64 {
  return ((size as u64) + BLOCK_HEADER + 7) & ~7;
}

function data_check_size(rb: printk_ringbuffer, size: u32): bool {
  return size == 0 || to_blk_size(size) <= data_size(rb) - BLOCK_HEADER;
}

function get_next_lpos(rb: printk_ringbuffer, begin: u64, size: u64): u64 {
  const next = begin + size;
  if (data_wraps(rb, begin) == data_wraps(rb, next)) return next;
  return (next & ~(data_size(rb) - 1)) + size;
}

function desc_make_reusable(rb: printk_ringbuffer, id: u64): void {
  cmpxchg(to_desc(rb, id).state_var, desc_sv(id, desc_finalized), desc_sv(id, desc_reusable));
}

/** Frees the records whose text lies in [begin, end); returns where the freed text ends, or FAILED_LPOS. */
function data_make_reusable(rb: printk_ringbuffer, begin: u64, end: u64): u64 {
  while (end - begin - 1 < data_size(rb)) {
    const id = load<u64>(to_block(rb, begin));
    const state = desc_state(rb, id);
    const lpos = to_desc(rb, id).text_blk_lpos;
    if (state < desc_finalized || lpos.begin != begin) return FAILED_LPOS;
    if (state == desc_finalized) desc_make_reusable(rb, id);
    begin = lpos.next;
  }
  return begin;
}

function data_push_tail(rb: printk_ringbuffer, lpos: u64): bool {
  if (lpos & 1) return true;
  const tail = rb.text_data_ring.tail_lpos;
  let tail_lpos = read(tail);
  while (lpos - tail_lpos - 1 < data_size(rb)) {
    const next = data_make_reusable(rb, tail_lpos, lpos);
    if (next != FAILED_LPOS) {
      if (cmpxchg(tail, tail_lpos, next)) break;
    } else if (read(tail) == tail_lpos) return false;
    tail_lpos = read(tail);
  }
  return true;
}

function desc_push_tail(rb: printk_ringbuffer, tail_id: u64): bool {
  const tail = rb.desc_ring.tail_id;
  const state_var = read(to_desc(rb, tail_id).state_var);
  const state = get_desc_state(tail_id, state_var);
  if (state == desc_miss) {
    // The descriptor of an earlier wrap was never used: nothing to free, and no room. Else others were
    // faster.
    return desc_id(state_var) != desc_id(tail_id - descs_count(rb));
  }
  if (state == desc_reserved || state == desc_committed) return false;
  if (state == desc_finalized) desc_make_reusable(rb, tail_id);
  if (!data_push_tail(rb, to_desc(rb, tail_id).text_blk_lpos.next)) return false;
  const next = desc_id(tail_id + 1);
  if (desc_state(rb, next) >= desc_finalized) cmpxchg(tail, tail_id, next);
  else if (read(tail) == tail_id) return false;
  return true;
}

/**
 * Takes the next descriptor, freeing the oldest record when the ring is full; PRB_NONE when that is still in
 * use.
 */
function desc_reserve(rb: printk_ringbuffer): u64 {
  const head = rb.desc_ring.head_id;
  let id: u64;
  let head_id: u64;
  let id_prev_wrap: u64;
  do {
    head_id = read(head);
    id = desc_id(head_id + 1);
    id_prev_wrap = desc_id(id - descs_count(rb));
    if (id_prev_wrap == read(rb.desc_ring.tail_id) && !desc_push_tail(rb, id_prev_wrap)) return PRB_NONE;
  } while (!cmpxchg(head, head_id, id));
  const state_var = to_desc(rb, id).state_var;
  const before = read(state_var);
  if (before != 0 && get_desc_state(id_prev_wrap, before) != desc_reusable) return PRB_NONE;
  return cmpxchg(state_var, before, desc_sv(id, desc_reserved)) ? id : PRB_NONE;
}

/** Room for `size` bytes of text; 0 when there is none or none is wanted. */
function data_alloc(rb: printk_ringbuffer, size: u32, lpos: prb_data_blk_lpos, id: u64): usize {
  if (size == 0) {
    lpos.begin = NO_LPOS;
    lpos.next = NO_LPOS;
    return 0;
  }
  const head = rb.text_data_ring.head_lpos;
  let begin: u64;
  let next: u64;
  do {
    begin = read(head);
    next = get_next_lpos(rb, begin, to_blk_size(size));
    if (!data_push_tail(rb, next - data_size(rb))) {
      lpos.begin = FAILED_LPOS;
      lpos.next = FAILED_LPOS;
      return 0;
    }
  } while (!cmpxchg(head, begin, next));
  let block = to_block(rb, begin);
  store<u64>(block, id);
  if (data_wraps(rb, begin) != data_wraps(rb, next)) {
    block = to_block(rb, 0);
    store<u64>(block, id);
  }
  lpos.begin = begin;
  lpos.next = next;
  return block + BLOCK_HEADER;
}

/** Makes the newest block larger; 0 when it is not the newest or there is no room. */
function data_realloc(rb: printk_ringbuffer, size: u32, lpos: prb_data_blk_lpos, id: u64): usize {
  const head = rb.text_data_ring.head_lpos;
  const head_lpos = read(head);
  if (head_lpos != lpos.next) return 0;
  const wrapped = data_wraps(rb, lpos.begin) != data_wraps(rb, lpos.next);
  const next = get_next_lpos(rb, lpos.begin, to_blk_size(size));
  const old = to_block(rb, wrapped ? 0 : lpos.begin);
  if (head_lpos - next < data_size(rb)) return old + BLOCK_HEADER;
  if (!data_push_tail(rb, next - data_size(rb)) || !cmpxchg(head, head_lpos, next)) return 0;
  let block = to_block(rb, lpos.begin);
  if (data_wraps(rb, lpos.begin) != data_wraps(rb, next)) {
    block = to_block(rb, 0);
    store<u64>(block, id);
    const kept = (lpos.next - lpos.begin) as usize - BLOCK_HEADER;
    if (!wrapped) memory.copy(block + BLOCK_HEADER, old + BLOCK_HEADER, kept);
  }
  lpos.next = next;
  return block + BLOCK_HEADER;
}

/** Bytes of text room of a record's block, without its id. */
function block_room(rb: printk_ringbuffer, lpos: prb_data_blk_lpos): u32 {
  if (lpos.begin & lpos.next & 1) return 0;
  const wrapped = data_wraps(rb, lpos.begin) != data_wraps(rb, lpos.next);
  const size = wrapped ? lpos.next & (data_size(rb) - 1) : lpos.next - lpos.begin;
  return size as u32 - BLOCK_HEADER;
}

/** Where the text of a record is; meaningful when it has room. */
export function prb_text(rb: printk_ringbuffer, id: u64): usize {
  const lpos = to_desc(rb, id).text_blk_lpos;
  const wrapped = data_wraps(rb, lpos.begin) != data_wraps(rb, lpos.next);
  return to_block(rb, wrapped ? 0 : lpos.begin) + BLOCK_HEADER;
}

export function prb_info(rb: printk_ringbuffer, id: u64): printk_info {
  return to_info(rb, id);
}

function desc_make_final(rb: printk_ringbuffer, id: u64): void {
  cmpxchg(to_desc(rb, id).state_var, desc_sv(id, desc_committed), desc_sv(id, desc_finalized));
}

/** Starts a record with room for `size` bytes of text. Returns its id, or PRB_NONE. */
export function prb_reserve(rb: printk_ringbuffer, size: u32): u64 {
  if (!data_check_size(rb, size)) return PRB_NONE;
  const id = desc_reserve(rb);
  if (id == PRB_NONE) {
    atomic.add<u64>(changetype<usize>(rb.fail), 1);
    return PRB_NONE;
  }
  const info = to_info(rb, id);
  const seq = info.seq;
  memory.fill(changetype<usize>(info), 0, printk_info.SIZE);
  const index = id & (descs_count(rb) - 1);
  info.seq = seq == 0 && index != 0 ? index : seq + descs_count(rb);
  if (info.seq > 0) desc_make_final(rb, desc_id(id - 1));
  if (!data_alloc(rb, size, to_desc(rb, id).text_blk_lpos, id) && size) {
    prb_commit(rb, id);
    return PRB_NONE;
  }
  return id;
}

/**
 * Reopens the newest record, when the same caller wrote it and may go on, with `size` bytes more; else
 * PRB_NONE.
 */
export function prb_reserve_in_last(rb: printk_ringbuffer, caller_id: u32, max_size: u32, size: u32): u64 {
  const id = read(rb.desc_ring.head_id);
  const desc = to_desc(rb, id);
  const info = to_info(rb, id);
  if (desc_state(rb, id) != desc_committed || info.caller_id != caller_id) return PRB_NONE;
  if (!cmpxchg(desc.state_var, desc_sv(id, desc_committed), desc_sv(id, desc_reserved))) return PRB_NONE;
  const lpos = desc.text_blk_lpos;
  let text: usize = 0;
  if (lpos.begin & lpos.next & 1) {
    info.text_len = 0;
    if (size <= max_size && data_check_size(rb, size)) text = data_alloc(rb, size, lpos, id);
  } else {
    const room = block_room(rb, lpos);
    if (info.text_len > room) info.text_len = room as u16;
    size += info.text_len;
    if (size <= max_size && data_check_size(rb, size)) text = data_realloc(rb, size, lpos, id);
  }
  if (text) return id;
  prb_commit(rb, id);
  return PRB_NONE;
}

/** Ends writing; the record may be reopened as long as it is the newest. */
export function prb_commit(rb: printk_ringbuffer, id: u64): void {
  cmpxchg(to_desc(rb, id).state_var, desc_sv(id, desc_reserved), desc_sv(id, desc_committed));
  if (read(rb.desc_ring.head_id) != id) desc_make_final(rb, id);
}

/** Ends writing for good. */
export function prb_final_commit(rb: printk_ringbuffer, id: u64): void {
  cmpxchg(to_desc(rb, id).state_var, desc_sv(id, desc_reserved), desc_sv(id, desc_finalized));
}

/** Number of the oldest record still in the buffer. */
export function prb_first_seq(rb: printk_ringbuffer): u64 {
  while (true) {
    const id = read(rb.desc_ring.tail_id);
    const seq = to_info(rb, id).seq;
    if (desc_state(rb, id) >= desc_finalized && read(rb.desc_ring.tail_id) == id) return seq;
  }
}

/** 0: record `seq` is readable; -EINVAL: not (yet) finalized or of another wrap; -ENOENT: it was lost. */
function desc_read_finalized_seq(rb: printk_ringbuffer, seq: u64): i32 {
  const desc = to_desc(rb, seq);
  const state_var = read(desc.state_var);
  const state = (state_var >> 62) as i32;
  if (state < desc_finalized || to_info(rb, seq).seq != seq) return -22;
  const lpos = desc.text_blk_lpos;
  return state == desc_reusable || (lpos.begin == FAILED_LPOS && lpos.next == FAILED_LPOS) ? -2 : 0;
}

/** The first readable record from `seq` on, or PRB_NONE. */
export function prb_next_valid(rb: printk_ringbuffer, seq: u64): u64 {
  while (true) {
    const err = desc_read_finalized_seq(rb, seq);
    if (err == 0) return seq;
    const tail_seq = prb_first_seq(rb);
    if (seq < tail_seq) seq = tail_seq;
    else if (err == -2) seq++;
    else return PRB_NONE;
  }
}

/**
 * Copies record `seq` out: its info, and up to `size` bytes of text. Returns the number of text bytes, or -1
 * when the record was overwritten meanwhile.
 */
export function prb_read(rb: printk_ringbuffer, seq: u64, info: printk_info, text: usize, size: u32): i32 {
  if (desc_read_finalized_seq(rb, seq) != 0) return -1;
  const from = to_info(rb, seq);
  memory.copy(changetype<usize>(info), changetype<usize>(from), printk_info.SIZE);
  const room = block_room(rb, to_desc(rb, seq).text_blk_lpos);
  let length: u32 = info.text_len;
  if (length > room) length = room;
  if (length > size) length = size;
  memory.copy(text, prb_text(rb, seq), length);
  return desc_read_finalized_seq(rb, seq) == 0 ? (length as i32) : -1;
}
