/** A dump's list of what was erased from it: by what of the erased bytes the dump has. */
import { type ElfImage, writtenRanges } from "../dump/elf-writer.ts";
import type { KdumpImage } from "../dump/kdump-writer.ts";
import { ERASEINFO_NOTE, encodeNote, latin1 } from "../dump/notes.ts";
import type { PageBitmap } from "../dump/page-bitmap.ts";
import type { Eraser } from "./erase.ts";

/** The list of a kdump-compressed dump, or of one file of a set: what was erased before, and now. */
export function kdumpEraseinfo(eraser: Eraser | null, image: KdumpImage, dumped: PageBitmap): Uint8Array {
  if (eraser === null) return image.eraseinfo;
  const { pageSize, split } = image;
  const { startPfn, endPfn } = split ?? { startPfn: 0, endPfn: dumped.pages };
  const text = eraser.eraseinfo((physical, length) => {
    let bytes = 0;
    for (let at = physical; at < physical + length; ) {
      const pfn = Math.floor(at / pageSize);
      const next = Math.min((pfn + 1) * pageSize, physical + length);
      if (pfn >= startPfn && pfn < endPfn && dumped.has(pfn)) bytes += next - at;
      at = next;
    }
    return bytes;
  });
  const bytes = new Uint8Array(image.eraseinfo.length + text.length);
  bytes.set(image.eraseinfo);
  bytes.set(latin1(text), image.eraseinfo.length);
  return bytes;
}

/** The notes of an ELF core with one more for the list: as long as it would be if nothing was left out. */
export function elfNotes(eraser: Eraser | null, image: ElfImage, dumped: PageBitmap): Uint8Array {
  if (eraser === null || eraser.eraseinfoMax === 0) return image.notes;
  const ranges = writtenRanges(image, dumped);
  const text = eraser.eraseinfo((physical, length) =>
    ranges.reduce(
      (sum, { start, end }) =>
        sum + Math.max(0, Math.min(end, physical + length) - Math.max(start, physical)),
      0,
    ),
  );
  const note = encodeNote(ERASEINFO_NOTE, 0, latin1(text), eraser.eraseinfoMax);
  const { length } = image.notes;
  const notes = new Uint8Array(Math.ceil(length / 4) * 4 + note.length);
  notes.set(image.notes);
  notes.set(note, notes.length - note.length);
  return notes;
}
