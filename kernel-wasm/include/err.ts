/**
 * Errors in pointers (include/linux/err.h): the top 4095 addresses are negated error numbers. No page of
 * memory lies there: the last page of a 4 GiB machine is reserved by the firmware.
 */
@inline
export function ERR_PTR<T>(error: i32): T {
  return changetype<T>(<usize>error);
}

@inline
export function IS_ERR<T>(p: T): bool {
  return changetype<usize>(p) >= 0xfffff001;
}

@inline
export function PTR_ERR<T>(p: T): i32 {
  return <i32>changetype<usize>(p);
}
