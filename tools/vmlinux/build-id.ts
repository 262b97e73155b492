/** The GNU build id of an ELF64 file: what tells whether a vmlinux belongs to a dump. */
const PT_NOTE = 4;
const NT_GNU_BUILD_ID = 3;
const EHDR_SIZE = 64;
const PHDR_SIZE = 56;
const GNU = 0x00554e47;

/** In hex; undefined when the bytes are no ELF64 file, or one without a build id. Takes any bytes. */
export function buildIdOf(file: Uint8Array): string | undefined {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < EHDR_SIZE || view.getUint32(0, false) !== 0x7f454c46 || file[4] !== 2) return undefined;
  const headers = Number(view.getBigUint64(32, true));
  const count = view.getUint16(56, true);
  for (let i = 0; i < count; i++) {
    const at = headers + i * PHDR_SIZE;
    if (at + PHDR_SIZE > file.length) return undefined;
    if (view.getUint32(at, true) !== PT_NOTE) continue;
    const offset = Number(view.getBigUint64(at + 8, true));
    const end = offset + Number(view.getBigUint64(at + 32, true));
    const found = end > file.length ? undefined : noteIn(view, offset, end);
    if (found !== undefined) return found;
  }
  return undefined;
}

function noteIn(view: DataView, from: number, end: number): string | undefined {
  const padded = (size: number): number => Math.ceil(size / 4) * 4;
  for (let at = from; at + 16 <= end; ) {
    const nameSize = view.getUint32(at, true);
    const size = view.getUint32(at + 4, true);
    const description = at + 12 + padded(nameSize);
    if (description + size > end) return undefined;
    if (view.getUint32(at + 8, true) === NT_GNU_BUILD_ID && view.getUint32(at + 12, true) === GNU) {
      const bytes = Array.from({ length: size }, (_, i) => view.getUint8(description + i));
      return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
    }
    at = description + padded(size);
  }
  return undefined;
}
