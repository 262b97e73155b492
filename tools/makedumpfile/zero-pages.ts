/** Pages of zeros: their bytes tell, not their struct page. */
import type { KernelDump } from "../dump/memory-source.ts";
import type { PageBitmap } from "../dump/page-bitmap.ts";

const PIECE = 1024 * 1024;

/** Takes pages of zeros out of `dumped`; how many they are. */
export async function excludeZeroPages(dump: KernelDump, dumped: PageBitmap): Promise<number> {
  const { pageSize } = dump;
  const batch = PIECE / pageSize;
  const piece = new Uint8Array(PIECE);
  const words = new Int32Array(piece.buffer);
  let zero = 0;
  for (let pfn = dumped.next(0); pfn < dumped.pages; pfn = dumped.next(pfn)) {
    let end = pfn + 1;
    while (end - pfn < batch && dumped.has(end)) end++;
    const place = piece.subarray(0, (end - pfn) * pageSize);
    const bytes = await dump.read(pfn * pageSize, place.length, place);
    if (bytes !== place) place.set(bytes);
    const each = pageSize / 4;
    for (let page = 0; page < end - pfn; page++) {
      let at = page * each;
      while (at < (page + 1) * each && words[at] === 0) at++;
      if (at < (page + 1) * each) continue;
      dumped.remove(pfn + page);
      zero++;
    }
    pfn = end;
  }
  return zero;
}
