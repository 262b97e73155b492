/** Linux's error numbers (include/uapi/asm-generic/errno*.h) and the way from a number to its name. */

export const errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  ENOEXEC: 8,
  EBADF: 9,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EMLINK: 31,
  EPIPE: 32,
  EDOM: 33,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  EOVERFLOW: 75,
  EBADMSG: 74,
  EOPNOTSUPP: 95,
  EADDRNOTAVAIL: 99,
  ETIMEDOUT: 110,
  ESTALE: 116,
  EDQUOT: 122,
  EKEYREJECTED: 129,
} as const;

export type ErrnoName = keyof typeof errno;

const names = new Map<number, string>(Object.entries(errno).map(([name, number]) => [number, name]));

/** `number` is positive. A number without a name here reads as "errno N". */
export function errnoName(number: number): string {
  return names.get(number) ?? `errno ${number}`;
}

/**
 * Linux's number for an error name as engines give it (`error.code`); undefined when Linux has no such
 * name.
 */
export function errnoNumber(name: string): number | undefined {
  return Object.hasOwn(errno, name) ? errno[name as ErrnoName] : aliases[name];
}

const aliases: Record<string, number> = { EWOULDBLOCK: 11, ENOTSUP: 95, EDEADLOCK: 35 };
