/**
 * The image container of production kernel, capture kernel and purgatory. The file's bytes are the memory's
 * bytes: an image is loaded in place, and its header lies at _text. Drawn in kernel-wasm/abi/image.ts
 * (`struct image_header`); little endian; all offsets are from the image's start.
 *
 *     _text    header  .text (x86 skeleton), page-padded  .wasm  .rodata, which ends at __base
 *     __base   data, initialised up to file_size ... bss ... _end   boot stack, up to mem_size
 *
 * The boot stack may also lie within .wasm, whose bytes the CPU has taken in before the stack is used: in the
 * capture kernel, where room is short.
 *
 * Offers readImageHeader(), writeImageHeader(), imageDigest() and ImageError.
 */

export const IMAGE_MAGIC = "wkImage\0";
export const IMAGE_VERSION = 1;
export const IMAGE_HEADER_SIZE = 256;
export const IMAGE_DIGEST_OFFSET = 0x90;
export const IMAGE_DIGEST_SIZE = 32;
export const IMAGE_RELEASE_SIZE = 64;
/** Images are loaded at multiples of this physical address (purgatory: of IMAGE_STACK_SIZE). */
export const IMAGE_LOAD_ALIGN = 0x10000;
/** The boot CPU's first stack lies behind _end or within the module, aligned to its size. */
export const IMAGE_STACK_SIZE = 0x4000;
export const PAGE_SIZE = 0x1000;
/** Virtual address of _text, whatever the physical address. */
export const LINK_ADDRESS = 0xffffffff80100000n;

/** Values of `type`. */
export const IMAGE_TYPE_KERNEL = 0;
export const IMAGE_TYPE_PURGATORY = 1;

export interface ImageHeader {
  type: number;
  /** Bytes in the file, and in memory: to _end, or to the end of a boot stack behind it. */
  fileSize: number;
  memSize: number;
  textOffset: number;
  textSize: number;
  wasmOffset: number;
  wasmSize: number;
  rodataOffset: number;
  rodataSize: number;
  /** __base, and the number of initialised bytes behind it. */
  dataOffset: number;
  dataSize: number;
  /** _end. */
  endOffset: number;
  /** Top of the boot stack. */
  stackOffset: number;
  linkAddress: bigint;
  /** Where struct purgatory_info lies; 0 in a kernel. */
  paramsOffset: number;
  /** Slots of the kernel's table, for a kernel that loads modules; else 0. */
  tableSize: number;
  /** uname -r. */
  release: string;
  /** SHA-256 of the file with these bytes zero. */
  digest: Uint8Array;
}

/** Bytes are not an image, or an image that this version cannot load. */
export class ImageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ImageError";
  }
}

type OffsetField = {
  [K in keyof ImageHeader]: ImageHeader[K] extends number ? K : never;
}[keyof ImageHeader];

/** The u32 members: name and place. Drives reader and writer. */
const U32_FIELDS: readonly (readonly [OffsetField, number])[] = [
  ["fileSize", 0x10],
  ["memSize", 0x14],
  ["textOffset", 0x18],
  ["textSize", 0x1c],
  ["wasmOffset", 0x20],
  ["wasmSize", 0x24],
  ["rodataOffset", 0x28],
  ["rodataSize", 0x2c],
  ["dataOffset", 0x30],
  ["dataSize", 0x34],
  ["endOffset", 0x38],
  ["stackOffset", 0x3c],
  ["paramsOffset", 0x48],
  ["tableSize", 0x4c],
];
const VERSION_OFFSET = 0x08;
const TYPE_OFFSET = 0x0c;
const LINK_ADDRESS_OFFSET = 0x40;
const RELEASE_OFFSET = 0x50;

/** Writes the 256 bytes at `at`. Throws ImageError when the release does not fit. */
export function writeImageHeader(view: DataView, at: number, header: ImageHeader): void {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, IMAGE_HEADER_SIZE);
  bytes.fill(0);
  for (let index = 0; index < IMAGE_MAGIC.length; index++) bytes[index] = IMAGE_MAGIC.charCodeAt(index);
  view.setUint32(at + VERSION_OFFSET, IMAGE_VERSION, true);
  view.setUint32(at + TYPE_OFFSET, header.type, true);
  for (const [name, offset] of U32_FIELDS) view.setUint32(at + offset, header[name], true);
  view.setBigUint64(at + LINK_ADDRESS_OFFSET, header.linkAddress, true);
  const release = new TextEncoder().encode(header.release);
  if (release.length >= IMAGE_RELEASE_SIZE) {
    throw new ImageError(`the release "${header.release}" is longer than ${IMAGE_RELEASE_SIZE - 1} bytes`);
  }
  bytes.set(release, RELEASE_OFFSET);
  bytes.set(header.digest, IMAGE_DIGEST_OFFSET);
}

function checkLayout(header: ImageHeader, available: number): void {
  const { fileSize, memSize, textOffset, wasmOffset, rodataOffset, dataOffset, endOffset, stackOffset } =
    header;
  const stackEnd = stackOffset - IMAGE_STACK_SIZE;
  if (fileSize > available) {
    throw new ImageError(`the image is truncated: its header says ${fileSize} bytes, there are ${available}`);
  }
  const order = [
    IMAGE_HEADER_SIZE,
    textOffset,
    textOffset + header.textSize,
    wasmOffset,
    wasmOffset + header.wasmSize,
    rodataOffset,
    rodataOffset + header.rodataSize,
    dataOffset,
    dataOffset + header.dataSize,
    fileSize,
  ];
  const ordered = order.every((value, index) => index === 0 || value >= (order[index - 1] as number));
  const end = endOffset >= dataOffset + header.dataSize && endOffset % PAGE_SIZE === 0;
  const behind = stackEnd >= endOffset;
  const inModule = stackEnd >= wasmOffset && stackOffset <= wasmOffset + header.wasmSize;
  const stack = (behind || inModule) && stackOffset % IMAGE_STACK_SIZE === 0;
  const covered = memSize >= endOffset && memSize >= stackOffset;
  const params =
    header.paramsOffset === 0 || (header.paramsOffset >= dataOffset && header.paramsOffset < endOffset);
  if (!ordered || dataOffset % PAGE_SIZE !== 0 || !end || !stack || !covered || !params) {
    throw new ImageError("the image's header is damaged: its sections overlap or lie outside of it");
  }
}

/**
 * Reads the header at `at`; `available` is the number of bytes that can be read from there on. Throws
 * ImageError with the reason when this is no image of this version, or its sections do not lie within it.
 */
export function readImageHeader(view: DataView, at: number, available: number): ImageHeader {
  if (available < IMAGE_HEADER_SIZE || at + IMAGE_HEADER_SIZE > view.byteLength) {
    throw new ImageError(`${available} bytes are too few for an image: its header has ${IMAGE_HEADER_SIZE}`);
  }
  for (let index = 0; index < IMAGE_MAGIC.length; index++) {
    if (view.getUint8(at + index) !== IMAGE_MAGIC.charCodeAt(index)) {
      throw new ImageError('this is not a kernel image: it does not begin with "wkImage"');
    }
  }
  const version = view.getUint32(at + VERSION_OFFSET, true);
  if (version !== IMAGE_VERSION) throw new ImageError(`image version ${version} is not ${IMAGE_VERSION}`);
  const type = view.getUint32(at + TYPE_OFFSET, true);
  if (type !== IMAGE_TYPE_KERNEL && type !== IMAGE_TYPE_PURGATORY) {
    throw new ImageError(`image type ${type} is unknown`);
  }
  const u32 = Object.fromEntries(
    U32_FIELDS.map(([name, offset]) => [name, view.getUint32(at + offset, true)]),
  );
  // Copies: TextDecoder and callers that keep the header must not see a shared, changing buffer.
  const bytes = new Uint8Array(IMAGE_HEADER_SIZE);
  bytes.set(new Uint8Array(view.buffer, view.byteOffset + at, IMAGE_HEADER_SIZE));
  const release = bytes.subarray(RELEASE_OFFSET, RELEASE_OFFSET + IMAGE_RELEASE_SIZE);
  const releaseEnd = release.indexOf(0);
  const header: ImageHeader = {
    ...(u32 as Record<OffsetField, number>),
    type,
    linkAddress: view.getBigUint64(at + LINK_ADDRESS_OFFSET, true),
    release: new TextDecoder().decode(releaseEnd < 0 ? release : release.subarray(0, releaseEnd)),
    digest: bytes.slice(IMAGE_DIGEST_OFFSET, IMAGE_DIGEST_OFFSET + IMAGE_DIGEST_SIZE),
  };
  checkLayout(header, available);
  return header;
}

/** The digest that the header of this file should hold. */
export function imageDigest(file: Uint8Array, sha256: (bytes: Uint8Array) => Uint8Array): Uint8Array {
  // Not slice(): that of a Buffer would be a view, and the file itself would lose its digest.
  const copy = new Uint8Array(file);
  copy.fill(0, IMAGE_DIGEST_OFFSET, IMAGE_DIGEST_OFFSET + IMAGE_DIGEST_SIZE);
  return sha256(copy);
}
