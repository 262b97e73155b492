/** Comparing bytes, millions of them a run. */

/**
 * Where they first differ; when one is the beginning of the other, the shorter one's length; -1: they are
 * the same.
 */
export function firstDifference(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  let at = 0;
  if (a.byteOffset % 4 === 0 && b.byteOffset % 4 === 0) {
    const words = length >> 2;
    const [left, right] = [a, b].map((x) => new Int32Array(x.buffer, x.byteOffset, words)) as [
      Int32Array,
      Int32Array,
    ];
    let word = 0;
    while (word < words && left[word] === right[word]) word++;
    at = word * 4;
  }
  for (; at < length; at++) if (a[at] !== b[at]) return at;
  return a.length === b.length ? -1 : length;
}
