/** Reads the headers of a kdump-compressed dump, of either word size and byte order, and doubts them. */
import type { CachedBytes } from "./cached-bytes.ts";
import { type Field, getField } from "./elf-header.ts";
import { ADVICE_DAMAGED, DumpError, hex } from "./error.ts";
import {
  type Extent,
  HEADER_VERSION,
  KDUMP_I386,
  KDUMP32,
  KDUMP64,
  type KdumpHeader,
  type KdumpLayout,
  type SubField,
  UTSNAME,
  UTSNAME_LENGTH,
  UTSNAME_OFFSET,
} from "./kdump-header.ts";
import { cString } from "./notes.ts";
import { PAGE_SIZE_MAX, PAGE_SIZE_MIN } from "./vmcoreinfo.ts";

/** What the notes may have: as in an ELF core. */
const NOTES_SIZE_MAX = 64 * 1024 * 1024;
/** The largest sub header: its notes have less. */
const SUB_BLOCKS_MAX = NOTES_SIZE_MAX / PAGE_SIZE_MIN;
/** Bits of a physical address of any machine, less those of its smallest page. */
const PFN_END = 2 ** 44;

/** Throws DumpError. */
export async function readKdumpHeader(bytes: CachedBytes): Promise<KdumpHeader> {
  const { name } = bytes.source;
  const first = await bytes.view(0, KDUMP64.headerSize, "the header of a kdump-compressed dump");
  const view = new DataView(first.buffer, first.byteOffset, first.byteLength);
  const utsname = Object.fromEntries(
    UTSNAME.map((member, index) => {
      const at = UTSNAME_OFFSET + index * UTSNAME_LENGTH;
      return [member, cString(first.subarray(at, at + UTSNAME_LENGTH))];
    }),
  ) as KdumpHeader["utsname"];
  const found = findLayout(view, utsname.machine);
  if (found === null) throw insane(name, view);
  const { layout, little } = found;
  const field = (it: Field) => Number(getField(view, it, 0, little));
  const { header } = layout;
  const version = field(header.version);
  const blockSize = field(header.blockSize);
  const sub = await bytes.view(blockSize, layout.subHeaderSize, "the sub header");
  const subView = new DataView(sub.buffer, sub.byteOffset, sub.byteLength);
  const large = (key: SubField): bigint => {
    const [it, since] = layout.sub[key];
    return version >= since ? getField(subView, it, 0, little) : 0n;
  };
  const small = (key: SubField): number => {
    const value = large(key);
    if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
    const where = `${name}, offset ${hex(blockSize + layout.sub[key][0][0])}`;
    throw new DumpError(where, `${key} of the sub header is ${hex(value)}`, ADVICE_DAMAGED);
  };
  const extent = (offset: SubField, size: SubField, what: string, most: number): Extent => {
    const part = { offset: small(offset), size: small(size) };
    if (part.size <= most && part.offset + part.size <= bytes.source.size) return part;
    const where = `${name}, offset ${hex(blockSize + layout.sub[offset][0][0])}`;
    const range = `${hex(part.offset)}..${hex(part.offset + part.size)}`;
    const limit = `expected at most ${hex(most)} bytes inside the file's ${hex(bytes.source.size)}`;
    throw new DumpError(where, `${what} should lie at ${range}: ${limit}`, ADVICE_DAMAGED);
  };
  const six = version >= 6;
  const decoded: KdumpHeader = {
    layout,
    little,
    version,
    utsname,
    timestamp: {
      seconds: getField(view, header.seconds, 0, little),
      microseconds: getField(view, header.microseconds, 0, little),
    },
    status: field(header.status),
    blockSize,
    subHdrSize: field(header.subHdrSize),
    bitmapBlocks: field(header.bitmapBlocks),
    maxMapnr: six ? small("maxMapnr64") : field(header.maxMapnr),
    nrCpus: field(header.nrCpus),
    physBase: BigInt.asIntN(64, large("physBase")),
    dumpLevel: small("dumpLevel"),
    split: small("split") !== 0,
    startPfn: six ? small("startPfn64") : small("startPfn"),
    endPfn: six ? small("endPfn64") : small("endPfn"),
    vmcoreinfo: extent("offsetVmcoreinfo", "sizeVmcoreinfo", "VMCOREINFO", NOTES_SIZE_MAX),
    notes: extent("offsetNote", "sizeNote", "the notes", NOTES_SIZE_MAX),
    eraseinfo: extent("offsetEraseinfo", "sizeEraseinfo", "the list of what was erased", NOTES_SIZE_MAX),
  };
  checkBitmaps(bytes, decoded);
  return decoded;
}

/** The first combination of word size and byte order in which the header makes sense. */
function findLayout(view: DataView, machine: string): { layout: KdumpLayout; little: boolean } | null {
  const narrow = /^i[3-6]86$|^x86_64$/.test(machine) ? KDUMP_I386 : KDUMP32;
  for (const layout of [KDUMP64, narrow]) {
    for (const little of [true, false]) {
      const field = (it: Field) => Number(getField(view, it, 0, little));
      const { version, blockSize, subHdrSize, bitmapBlocks } = layout.header;
      const size = field(blockSize);
      if (field(version) > HEADER_VERSION || size < PAGE_SIZE_MIN || size > PAGE_SIZE_MAX) continue;
      if ((size & (size - 1)) !== 0 || field(subHdrSize) < 1 || field(subHdrSize) > SUB_BLOCKS_MAX) continue;
      if (field(bitmapBlocks) < 2 || field(bitmapBlocks) % 2 !== 0) continue;
      return { layout, little };
    }
  }
  return null;
}

/** What is wrong, as if the machine were x86_64. */
function insane(name: string, view: DataView): DumpError {
  const { header } = KDUMP64;
  const refuse = (field: Field, what: string) =>
    new DumpError(`${name}, offset ${hex(field[0])}`, what, ADVICE_DAMAGED);
  const value = (it: Field) => Number(getField(view, it, 0, true));
  const version = value(header.version);
  if (version > HEADER_VERSION) {
    return refuse(header.version, `header version ${version}: expected 0 to ${HEADER_VERSION}`);
  }
  const size = value(header.blockSize);
  if (size < PAGE_SIZE_MIN || size > PAGE_SIZE_MAX || (size & (size - 1)) !== 0) {
    const expected = `a power of two from ${PAGE_SIZE_MIN} to ${PAGE_SIZE_MAX}`;
    return refuse(header.blockSize, `block_size ${size}: expected ${expected}`);
  }
  const sub = value(header.subHdrSize);
  if (sub < 1 || sub > SUB_BLOCKS_MAX) {
    return refuse(header.subHdrSize, `sub_hdr_size ${sub}: expected 1 to ${SUB_BLOCKS_MAX}`);
  }
  return refuse(
    header.bitmapBlocks,
    `bitmap_blocks ${value(header.bitmapBlocks)}: expected an even number from 2 on`,
  );
}

function checkBitmaps({ source }: CachedBytes, header: KdumpHeader): void {
  const { blockSize, subHdrSize, bitmapBlocks, maxMapnr, layout, version } = header;
  const bits = (bitmapBlocks / 2) * blockSize * 8;
  if (maxMapnr > bits || maxMapnr > PFN_END) {
    const at = version >= 6 ? blockSize + layout.sub.maxMapnr64[0][0] : layout.header.maxMapnr[0];
    const what = `max_mapnr ${hex(maxMapnr)}: expected at most ${hex(bits)}, the bits of a bitmap`;
    throw new DumpError(`${source.name}, offset ${hex(at)}`, what, ADVICE_DAMAGED);
  }
  const end = (1 + subHdrSize + bitmapBlocks) * blockSize;
  if (end <= source.size) return;
  const where = `${source.name}, offset ${hex(layout.header.bitmapBlocks[0])}`;
  const ends = `the bitmaps would end at ${hex(end)}, the file at ${hex(source.size)}`;
  const what = `bitmap_blocks ${bitmapBlocks}: ${ends}`;
  throw new DumpError(where, what, ADVICE_DAMAGED);
}
