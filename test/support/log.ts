/**
 * Writers of kernel logs for mock vmcores: the printk ring buffer as Linux's writers leave it (reserve,
 * wrap, reuse of descriptors and text), the records before 5.10, the characters before 3.5; and
 * `mockVmcore`, which puts one of them into the memory of a mock kernel.
 */
import {
  bytesOf,
  concat,
  DIRECT_MAP,
  elfCore,
  MockMemory,
  MockPageTables,
  prstatusNote,
  START_KERNEL_MAP,
  vmcoreinfoNote,
} from "./vmcore.ts";

/** Offsets and sizes of the structs; the keys are VMCOREINFO's names. */
export type PrbLayout = typeof LAYOUT_5_15;

export const LAYOUT_5_15 = {
  "SIZE(printk_ringbuffer)": 88,
  "OFFSET(printk_ringbuffer.desc_ring)": 0,
  "OFFSET(printk_ringbuffer.text_data_ring)": 48,
  "OFFSET(prb_desc_ring.count_bits)": 0,
  "OFFSET(prb_desc_ring.descs)": 8,
  "OFFSET(prb_desc_ring.infos)": 16,
  "OFFSET(prb_desc_ring.head_id)": 24,
  "OFFSET(prb_desc_ring.tail_id)": 32,
  "SIZE(prb_desc)": 24,
  "OFFSET(prb_desc.state_var)": 0,
  "OFFSET(prb_desc.text_blk_lpos)": 8,
  "OFFSET(prb_data_blk_lpos.begin)": 0,
  "OFFSET(prb_data_blk_lpos.next)": 8,
  "SIZE(printk_info)": 88,
  "OFFSET(printk_info.seq)": 0,
  "OFFSET(printk_info.ts_nsec)": 8,
  "OFFSET(printk_info.text_len)": 16,
  "OFFSET(printk_info.caller_id)": 20,
  "OFFSET(prb_data_ring.size_bits)": 0,
  "OFFSET(prb_data_ring.data)": 8,
  "OFFSET(atomic_long_t.counter)": 0,
};

/** No kernel's: every member elsewhere, so that a reader that knows the offsets by heart is found out. */
export const LAYOUT_SHUFFLED: PrbLayout = {
  "SIZE(printk_ringbuffer)": 160,
  "OFFSET(printk_ringbuffer.desc_ring)": 80,
  "OFFSET(printk_ringbuffer.text_data_ring)": 16,
  "OFFSET(prb_desc_ring.count_bits)": 40,
  "OFFSET(prb_desc_ring.descs)": 32,
  "OFFSET(prb_desc_ring.infos)": 0,
  "OFFSET(prb_desc_ring.head_id)": 8,
  "OFFSET(prb_desc_ring.tail_id)": 48,
  "SIZE(prb_desc)": 48,
  "OFFSET(prb_desc.state_var)": 24,
  "OFFSET(prb_desc.text_blk_lpos)": 0,
  "OFFSET(prb_data_blk_lpos.begin)": 16,
  "OFFSET(prb_data_blk_lpos.next)": 0,
  "SIZE(printk_info)": 64,
  "OFFSET(printk_info.seq)": 40,
  "OFFSET(printk_info.ts_nsec)": 16,
  "OFFSET(printk_info.text_len)": 4,
  "OFFSET(printk_info.caller_id)": 8,
  "OFFSET(prb_data_ring.size_bits)": 24,
  "OFFSET(prb_data_ring.data)": 40,
  "OFFSET(atomic_long_t.counter)": 8,
};

const ID_MASK = (1n << 62n) - 1n;
export const DESC_STATE = { reserved: 0n, committed: 1n, finalized: 2n, reusable: 3n } as const;

export interface MockRecord {
  ts_nsec?: bigint;
  callerId?: number;
  state?: keyof typeof DESC_STATE;
  /** The text was lost: the record points at no block (FAILED_LPOS). */
  lost?: boolean;
}

/** Where a mock log lies: physical addresses, and the function to the addresses it holds. */
export interface PrbPlace {
  memory: MockMemory;
  virtual(physical: number): bigint;
  ringbuffer: number;
  descs: number;
  infos: number;
  text: number;
}

export class PrbWriter {
  readonly count: number;
  readonly size: number;
  private head: bigint;
  private tail: bigint;
  private headLpos: bigint;
  private tailLpos: bigint;
  private seq = 0n;

  constructor(
    private readonly place: PrbPlace,
    countBits: number,
    sizeBits: number,
    private readonly layout: PrbLayout = LAYOUT_5_15,
  ) {
    this.count = 2 ** countBits;
    this.size = 2 ** sizeBits;
    this.head = -BigInt(this.count + 1) & ID_MASK;
    this.tail = this.head;
    this.headLpos = -BigInt(this.size);
    this.tailLpos = this.headLpos;
    const { memory, ringbuffer } = place;
    const ring = ringbuffer + layout["OFFSET(printk_ringbuffer.desc_ring)"];
    const data = ringbuffer + layout["OFFSET(printk_ringbuffer.text_data_ring)"];
    memory.u32(ring + layout["OFFSET(prb_desc_ring.count_bits)"], countBits);
    memory.u64(ring + layout["OFFSET(prb_desc_ring.descs)"], place.virtual(place.descs));
    memory.u64(ring + layout["OFFSET(prb_desc_ring.infos)"], place.virtual(place.infos));
    memory.u32(data + layout["OFFSET(prb_data_ring.size_bits)"], sizeBits);
    memory.u64(data + layout["OFFSET(prb_data_ring.data)"], place.virtual(place.text));
    this.setState(this.head, DESC_STATE.reusable);
    this.storeEnds();
  }

  /** Physical address of the descriptor of an id. */
  descAt(id: bigint): number {
    return this.place.descs + Number(id & BigInt(this.count - 1)) * this.layout["SIZE(prb_desc)"];
  }

  get headId(): bigint {
    return this.head;
  }

  /** Overwrites head_id and tail_id as damage would. */
  setEnds(head: bigint, tail: bigint): void {
    const { memory, ringbuffer } = this.place;
    const counter = this.layout["OFFSET(atomic_long_t.counter)"];
    const ring = ringbuffer + this.layout["OFFSET(printk_ringbuffer.desc_ring)"] + counter;
    memory.u64(ring + this.layout["OFFSET(prb_desc_ring.head_id)"], head);
    memory.u64(ring + this.layout["OFFSET(prb_desc_ring.tail_id)"], tail);
  }

  add(text: string | Uint8Array, record: MockRecord = {}): bigint {
    const { memory } = this.place;
    const bytes = typeof text === "string" ? bytesOf(text) : text;
    const id = (this.head + 1n) & ID_MASK;
    if (((id - this.tail) & ID_MASK) >= BigInt(this.count)) {
      this.reuse(this.tail);
      this.tail = (this.tail + 1n) & ID_MASK;
    }
    this.head = id;
    const [begin, next] = record.lost ? [1n, 1n] : bytes.length === 0 ? [3n, 3n] : this.allocate(id, bytes);
    const block = this.descAt(id) + this.layout["OFFSET(prb_desc.text_blk_lpos)"];
    memory.u64(block + this.layout["OFFSET(prb_data_blk_lpos.begin)"], begin);
    memory.u64(block + this.layout["OFFSET(prb_data_blk_lpos.next)"], next);
    const info = this.place.infos + Number(id & BigInt(this.count - 1)) * this.layout["SIZE(printk_info)"];
    memory.u64(info + this.layout["OFFSET(printk_info.seq)"], this.seq++);
    memory.u64(info + this.layout["OFFSET(printk_info.ts_nsec)"], record.ts_nsec ?? 0n);
    memory.u16(info + this.layout["OFFSET(printk_info.text_len)"], bytes.length);
    memory.u32(info + this.layout["OFFSET(printk_info.caller_id)"], record.callerId ?? 0);
    this.setState(id, DESC_STATE[record.state ?? "finalized"]);
    this.storeEnds();
    return id;
  }

  private storeEnds(): void {
    this.setEnds(this.head, this.tail);
  }

  private setState(id: bigint, state: bigint): void {
    const counter = this.layout["OFFSET(atomic_long_t.counter)"];
    this.place.memory.u64(
      this.descAt(id) + this.layout["OFFSET(prb_desc.state_var)"] + counter,
      (state << 62n) | id,
    );
  }

  /** Makes the oldest text free until the block of `id` fits, and stores the block. */
  private allocate(id: bigint, bytes: Uint8Array): [bigint, bigint] {
    const size = BigInt(8 + Math.ceil(bytes.length / 8) * 8);
    const ring = BigInt(this.size);
    const begin = this.headLpos;
    let next = begin + size;
    const wraps = (lpos: bigint) => BigInt.asIntN(64, lpos) >> BigInt(Math.log2(this.size));
    const wrapped = wraps(begin) !== wraps(next);
    if (wrapped) next = wraps(next) * ring + size;
    while (next - this.tailLpos > ring) this.reuseOldestText();
    this.headLpos = next;
    const { memory, text } = this.place;
    const index = (lpos: bigint) => text + Number(lpos & (ring - 1n));
    memory.u64(index(begin), id);
    if (wrapped) memory.u64(text, id);
    memory.bytes.set(bytes, (wrapped ? text : index(begin)) + 8);
    return [begin, next];
  }

  private reuseOldestText(): void {
    const { memory, text } = this.place;
    const at = text + Number(this.tailLpos & BigInt(this.size - 1));
    this.reuse(memory.view.getBigUint64(at, true));
  }

  private reuse(id: bigint): void {
    const block = this.descAt(id) + this.layout["OFFSET(prb_desc.text_blk_lpos)"];
    const next = this.place.memory.view.getBigUint64(
      block + this.layout["OFFSET(prb_data_blk_lpos.next)"],
      true,
    );
    const hasText = (next & 1n) === 0n && next !== 0n;
    if (hasText && BigInt.asIntN(64, next) > this.tailLpos) this.tailLpos = BigInt.asIntN(64, next);
    this.setState(id, DESC_STATE.reusable);
  }
}

/** struct printk_log of 3.11 to 5.9. */
export const PRINTK_LOG = { size: 16, ts_nsec: 0, len: 8, text_len: 10 };

/**
 * Records from `first` on in a ring of `size` bytes at `at`, wrapping as log_store() does; returns
 * log_next_idx.
 */
export function writePrintkLog(
  memory: MockMemory,
  at: number,
  size: number,
  first: number,
  records: readonly { ts_nsec: bigint; text: string }[],
): number {
  let index = first;
  for (const { ts_nsec, text } of records) {
    const length = Math.ceil((PRINTK_LOG.size + text.length) / 8) * 8;
    if (index + length + PRINTK_LOG.size > size) {
      memory.bytes.fill(0, at + index, at + index + PRINTK_LOG.size);
      index = 0;
    }
    memory.u64(at + index + PRINTK_LOG.ts_nsec, ts_nsec);
    memory.u16(at + index + PRINTK_LOG.len, length);
    memory.u16(at + index + PRINTK_LOG.text_len, text.length);
    memory.bytes.set(bytesOf(text), at + index + PRINTK_LOG.size);
    index += length;
  }
  return index;
}

/**
 * Physical addresses of the mock kernel's things; 1 MiB of memory, all of it mapped as image and as direct
 * map.
 */
export const MOCK = {
  memorySize: 0x100000,
  prbPointer: 0x10000,
  ringbuffer: 0x10100,
  logBuf: 0x10200,
  logBufLen: 0x10208,
  logFirst: 0x1020c,
  logNext: 0x10210,
  logEnd: 0x10214,
  loggedChars: 0x10218,
  clearIdx: 0x1021c,
  clearSeq: 0x10220,
  pageTables: 0x20000,
  descs: 0x40000,
  infos: 0x60000,
  text: 0x80000,
} as const;

export const imageAddress = (physical: number) => START_KERNEL_MAP + BigInt(physical);
export const directAddress = (physical: number) => DIRECT_MAP + BigInt(physical);

export interface MockVmcore {
  memory: MockMemory;
  tables: MockPageTables;
  /** VMCOREINFO's lines; change them before `build`. */
  lines: string[];
  /** The file as it stands now. */
  build(): Uint8Array<ArrayBuffer>;
}

/** A kernel without a log: memory, page tables of image and direct map, the lines that every kernel has. */
export function mockKernel(): MockVmcore {
  const memory = new MockMemory(MOCK.memorySize);
  const tables = new MockPageTables(memory, MOCK.pageTables);
  tables.map(START_KERNEL_MAP, 0n, "pages2m");
  tables.map(DIRECT_MAP, 0n, "pages1g");
  const symbol = (name: string, at: number) => `SYMBOL(${name})=${imageAddress(at).toString(16)}`;
  const lines = [
    "OSRELEASE=5.15.0-mock",
    "PAGESIZE=4096",
    symbol("swapper_pg_dir", MOCK.pageTables),
    symbol("init_top_pgt", MOCK.pageTables),
    "NUMBER(phys_base)=0",
    "NUMBER(pgtable_l5_enabled)=0",
    "KERNELOFFSET=0",
    "NUMBER(KERNEL_IMAGE_SIZE)=536870912",
    "NUMBER(sme_mask)=0",
  ];
  // As Linux has it: the image's range is there twice, the second time as a part of the direct map.
  const build = () =>
    elfCore({
      notes: concat(prstatusNote(1), vmcoreinfoNote([...lines, "CRASHTIME=1700000000"])),
      loads: [
        { virtual: imageAddress(0x10000), physical: 0x10000n, data: memory.bytes.subarray(0x10000, 0x40000) },
        { virtual: directAddress(0), physical: 0n, data: memory.bytes },
      ],
    });
  return { memory, tables, lines, build };
}

export interface PrbOptions {
  countBits?: number;
  sizeBits?: number;
  layout?: PrbLayout;
}

/** A mock kernel with a printk ring buffer. */
export function mockPrb(options: PrbOptions = {}): MockVmcore & { log: PrbWriter } {
  const { countBits = 6, sizeBits = 12, layout = LAYOUT_5_15 } = options;
  const kernel = mockKernel();
  const place: PrbPlace = {
    memory: kernel.memory,
    virtual: directAddress,
    ringbuffer: MOCK.ringbuffer,
    descs: MOCK.descs,
    infos: MOCK.infos,
    text: MOCK.text,
  };
  kernel.memory.u64(MOCK.prbPointer, imageAddress(MOCK.ringbuffer));
  kernel.lines.push(`SYMBOL(prb)=${imageAddress(MOCK.prbPointer).toString(16)}`);
  for (const [key, value] of Object.entries(layout)) kernel.lines.push(`${key}=${value}`);
  return { ...kernel, log: new PrbWriter(place, countBits, sizeBits, layout) };
}

/** A mock kernel of before 5.10, its log_buf empty. */
export function mockLogBuf(length: number, symbols: readonly (keyof typeof LOG_BUF_SYMBOLS)[]): MockVmcore {
  const kernel = mockKernel();
  kernel.memory.u64(MOCK.logBuf, directAddress(MOCK.text));
  kernel.memory.u32(MOCK.logBufLen, length);
  for (const name of symbols) {
    kernel.lines.push(`SYMBOL(${name})=${imageAddress(LOG_BUF_SYMBOLS[name]).toString(16)}`);
  }
  return kernel;
}

const LOG_BUF_SYMBOLS = {
  log_buf: MOCK.logBuf,
  log_buf_len: MOCK.logBufLen,
  log_first_idx: MOCK.logFirst,
  log_next_idx: MOCK.logNext,
  log_end: MOCK.logEnd,
  logged_chars: MOCK.loggedChars,
};
