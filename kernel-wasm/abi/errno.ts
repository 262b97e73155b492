/**
 * Error numbers (include/uapi/asm-generic/errno*.h). Functions return them negated; pointers as ERR_PTR, see
 * include/err.ts. The runtime and the programs read them here too.
 */
import { abi } from "./dsl.ts";

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
  EBADMSG: 74,
  EOVERFLOW: 75,
  EOPNOTSUPP: 95,
  EADDRNOTAVAIL: 99,
  ETIMEDOUT: 110,
  ESTALE: 116,
  EDQUOT: 122,
  EKEYREJECTED: 129,
} as const;

export default abi({
  defines: {
    ...errno,
    /* Never seen by a program: the call starts over. */
    ERESTARTSYS: 512,
    ERESTARTNOINTR: 513,
    ERESTARTNOHAND: 514,
    ERESTART_RESTARTBLOCK: 516,
    MAX_ERRNO: 4095,
  },
});
