/**
 * The index of the first of `items` whose key is above `at`, their number if none is. The keys never go down.
 */
export function upperBound<T>(items: readonly T[], at: number, key: (item: T) => number): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (key(items[middle] as T) <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}
