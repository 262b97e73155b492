/**
 * The lockless ring buffer of printk since Linux 5.10 (kernel/printk/printk_ringbuffer.h), read by the
 * offsets that VMCOREINFO gives.
 *
 *     *prb: struct printk_ringbuffer { desc_ring, text_data_ring, fail }
 *     desc_ring       2^count_bits descriptors and infos, ids tail_id..head_id; id N is at N mod count
 *     descriptor      state_var = id, with the state in its two top bits; text_blk_lpos {begin, next}
 *     text_data_ring  2^size_bits bytes; a block is an unsigned long with the id, then text_len bytes of text
 *
 * A block that does not fit before the ring's end lies at its start, whole; `begin` then belongs to an
 * earlier round than `next`. A descriptor whose id is not the one expected was reused or never used; one
 * that is still reserved has no text yet: both are passed over, as Linux's readers do.
 */
import { type AddressSpace, VirtualArray } from "./address-space.ts";
import { ADVICE_DAMAGED, DumpError, hex } from "./error.ts";
import type { KernelLog, LogRecord } from "./kernel-log.ts";
import type { KernelDump } from "./memory-source.ts";
import type { VmcoreInfo } from "./vmcoreinfo.ts";

/** LOG_BUF_LEN_MAX is 2^31; a descriptor is made for each 2^5 bytes (PRB_AVGBITS). */
const SIZE_BITS_MAX = 31;
const COUNT_BITS_MAX = SIZE_BITS_MAX - 5;
/** The two top bits of state_var (DESC_FLAGS_SHIFT). */
const STATE_SHIFT = 62n;
const ID_MASK = (1n << STATE_SHIFT) - 1n;
const LONG_SIZE = 8;

const desc_committed = 1n;
const desc_finalized = 2n;

/** Sizes and offsets in bytes, all from VMCOREINFO; a missing line throws. */
function layoutOf(info: VmcoreInfo) {
  const ring = info.offset("printk_ringbuffer.desc_ring");
  const data = info.offset("printk_ringbuffer.text_data_ring");
  const counter = info.offset("atomic_long_t.counter");
  const block = info.offset("prb_desc.text_blk_lpos");
  return {
    ringbufferSize: info.size("printk_ringbuffer"),
    countBits: ring + info.offset("prb_desc_ring.count_bits"),
    descs: ring + info.offset("prb_desc_ring.descs"),
    infos: ring + info.offset("prb_desc_ring.infos"),
    headId: ring + info.offset("prb_desc_ring.head_id") + counter,
    tailId: ring + info.offset("prb_desc_ring.tail_id") + counter,
    sizeBits: data + info.offset("prb_data_ring.size_bits"),
    data: data + info.offset("prb_data_ring.data"),
    descSize: info.size("prb_desc"),
    stateVar: info.offset("prb_desc.state_var") + counter,
    begin: block + info.offset("prb_data_blk_lpos.begin"),
    next: block + info.offset("prb_data_blk_lpos.next"),
    infoSize: info.size("printk_info"),
    ts: info.offset("printk_info.ts_nsec"),
    textLength: info.offset("printk_info.text_len"),
    seq: info.has("OFFSET(printk_info.seq)") ? info.offset("printk_info.seq") : null,
    callerId: info.has("OFFSET(printk_info.caller_id)") ? info.offset("printk_info.caller_id") : null,
  };
}

type Layout = ReturnType<typeof layoutOf>;

/** The struct must hold what is read of it: [what, size, the ends of its members]. */
function checkLayout(name: string, layout: Layout): void {
  const structs: [string, number, number[]][] = [
    ["prb_desc", layout.descSize, [layout.stateVar + 8, layout.begin + 8, layout.next + 8]],
    [
      "printk_info",
      layout.infoSize,
      [layout.ts + 8, layout.textLength + 2, (layout.seq ?? 0) + 8, (layout.callerId ?? 0) + 4],
    ],
    [
      "printk_ringbuffer",
      layout.ringbufferSize,
      [
        layout.countBits + 4,
        layout.descs + 8,
        layout.infos + 8,
        layout.headId + 8,
        layout.tailId + 8,
        layout.sizeBits + 4,
        layout.data + 8,
      ],
    ],
  ];
  for (const [struct, size, ends] of structs) {
    if (Math.max(...ends) <= size && size <= 4096) continue;
    const what = `SIZE(${struct})=${size} does not fit the offsets of its members (${Math.max(...ends)})`;
    throw new DumpError(`${name}, VMCOREINFO`, what, ADVICE_DAMAGED);
  }
}

interface Ring {
  descs: VirtualArray;
  infos: VirtualArray;
  text: VirtualArray;
  count: number;
  head: bigint;
  tail: bigint;
}

async function openRing(dump: KernelDump, space: AddressSpace, layout: Layout): Promise<Ring> {
  const address = await space.readU64(dump.vmcoreinfo.symbol("prb"));
  const bytes = await space.read(address, layout.ringbufferSize);
  const prb = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const bits = (at: number, member: string, max: number) => {
    const value = prb.getUint32(at, true);
    if (value >= 1 && value <= max) return 2 ** value;
    const what = `printk_ringbuffer at ${hex(address)}: ${member} is ${value}, outside 1..${max}`;
    throw new DumpError(
      dump.name,
      what,
      "The log of the crashed kernel was overwritten; crash's `log` may find more.",
    );
  };
  const count = bits(layout.countBits, "desc_ring.count_bits", COUNT_BITS_MAX);
  const size = bits(layout.sizeBits, "text_data_ring.size_bits", SIZE_BITS_MAX);
  const array = (at: number, length: number) => new VirtualArray(space, prb.getBigUint64(at, true), length);
  if (count * (layout.descSize + layout.infoSize) + size > (await dump.held())) {
    const what = `a log of ${count} descriptors and ${size} bytes is larger than the memory in the dump`;
    throw new DumpError(dump.name, what, ADVICE_DAMAGED);
  }
  return {
    descs: array(layout.descs, count * layout.descSize),
    infos: array(layout.infos, count * layout.infoSize),
    text: array(layout.data, size),
    count,
    head: prb.getBigUint64(layout.headId, true) & ID_MASK,
    tail: prb.getBigUint64(layout.tailId, true) & ID_MASK,
  };
}

/** The log behind SYMBOL(prb). Throws DumpError when VMCOREINFO lacks a line of the layout. */
export function printkRingbuffer(dump: KernelDump, space: AddressSpace): KernelLog {
  const layout = layoutOf(dump.vmcoreinfo);
  checkLayout(dump.name, layout);
  return {
    format: "prb",
    async *records(problem, sinceCleared = false) {
      const first = sinceCleared ? await clearSeq(dump.vmcoreinfo, space) : 0n;
      const ring = await openRing(dump, space, layout);
      const count = BigInt(ring.count);
      let span = (ring.head - ring.tail) & ID_MASK;
      if (span >= count) {
        // Either end may be the damaged one: every id whose descriptor agrees is a record, so nothing wrong
        // is shown.
        const ends = `tail_id ${hex(ring.tail)} and head_id ${hex(ring.head)}`;
        problem(`${ends} are further apart than the ring's ${count}`);
        span = count - 1n;
      }
      for (let back = span; back >= 0n; back--) {
        const id = (ring.head - back) & ID_MASK;
        try {
          const record = await readRecord(ring, layout, id, problem);
          if (record !== null && (record.seq ?? first) >= first) yield record;
        } catch (error) {
          if (!(error instanceof DumpError)) throw error;
          problem(`record ${hex(id)}: ${error.what}`);
        }
      }
    },
  };
}

/** The first record that was not cleared; 0 where the kernel does not say. */
async function clearSeq(info: VmcoreInfo, space: AddressSpace): Promise<bigint> {
  if (!info.has("SYMBOL(clear_seq)")) return 0n;
  const at = info.symbol("clear_seq");
  // Since 5.13 there are two copies of it, of which the sequence count before them tells the one to read.
  if (!info.has("SIZE(latched_seq)")) return space.readU64(at);
  const copy = ((await space.readU32(at)) & 1) * 8;
  return space.readU64(at + BigInt(info.offset("latched_seq.val") + copy));
}

async function readRecord(
  ring: Ring,
  layout: Layout,
  id: bigint,
  problem: (text: string) => void,
): Promise<LogRecord | null> {
  const index = Number(id & BigInt(ring.count - 1));
  const desc = await ring.descs.read(index * layout.descSize, layout.descSize);
  const state = desc.getBigUint64(layout.stateVar, true);
  if ((state & ID_MASK) !== id) return null;
  if (state >> STATE_SHIFT !== desc_committed && state >> STATE_SHIFT !== desc_finalized) return null;

  const info = await ring.infos.read(index * layout.infoSize, layout.infoSize);
  const size = ring.text.length;
  const record: LogRecord = { ts_nsec: info.getBigUint64(layout.ts, true), text: new Uint8Array(0) };
  if (layout.seq !== null) record.seq = info.getBigUint64(layout.seq, true);
  if (layout.callerId !== null) record.callerId = info.getUint32(layout.callerId, true);

  const first = Number(desc.getBigUint64(layout.begin, true) & BigInt(size - 1));
  const next = Number(desc.getBigUint64(layout.next, true) & BigInt(size - 1));
  // Both are the same special odd number when the record has no text, or lost it.
  if (first === next) return record;
  // Since 6.18 a block may end with the ring; a block of an earlier kernel never does: it would have wrapped.
  const end = next === 0 ? size : next;
  const begin = (first < end ? first : 0) + LONG_SIZE;
  const length = Math.min(info.getUint16(layout.textLength, true), end - begin);
  if (length < 0) {
    problem(`record ${hex(id)}: its text block ${hex(first)}..${hex(next)} has no room for an id`);
    return record;
  }
  const text = await ring.text.read(begin, length);
  record.text = new Uint8Array(text.buffer.slice(text.byteOffset, text.byteOffset + length) as ArrayBuffer);
  return record;
}
