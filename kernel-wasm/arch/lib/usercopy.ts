/**
 * Copies between kernel and user memory (arch/x86/lib/usercopy_64.c). A user address is reached through the
 * page tables of the running task only; a page of a mapping that has none yet is made on the way, as by a
 * page fault. All return the number of bytes that could not be copied: 0 is success, anything else is EFAULT
 * to the user.
 */
import {
  CONFIG_CRASH_DUMP,
  EFAULT,
  PAGE_SIZE,
  TASK_SIZE_MAX,
  VM_ACCESS_FLAGS,
  VM_WRITE,
} from "../../include/generated/constants";
import { get_current } from "../kernel/current";
import { follow_user } from "../mm/pgtable";
import { fault_in_user } from "../../mm/memory";
import { memcpy_from_vm, memcpy_to_vm, memset_vm } from "../../mm/vmalloc";

@inline
export function access_ok(addr: u64, size: u64): bool {
  return size <= TASK_SIZE_MAX && addr <= TASK_SIZE_MAX - size;
}

/** Physical address of a user byte, 0 when the access is not allowed. User space here lies below 4 GiB. */
function user_byte(addr: u64, write: bool): usize {
  const rights: u64 = write ? VM_WRITE : VM_ACCESS_FLAGS;
  const mm = get_current().mm;
  if (isnull(mm) || addr >> 32 != 0) return 0;
  while (true) {
    // Until the copy there is no poll: no other CPU can take the page away.
    const at = follow_user(changetype<usize>(mm.pgd), <usize>addr, write);
    if (at || fault_in_user(mm, <usize>addr, rights) != 0) return at;
  }
}

/**
 * Makes the pages of a user's buffer before a lock is taken that their faults may want (fault_in_readable(),
 * fault_in_writeable()). Where that fails, the copy will say so.
 */
export function fault_in_user_range(addr: u64, n: usize, write: bool): void {
  if (<i64>addr < 0) return;
  const end = addr + n;
  for (let at = addr & ~<u64>(PAGE_SIZE - 1); at < end; at += PAGE_SIZE) {
    if (!user_byte(max(at, addr), write)) return;
  }
}

@inline
function piece(addr: u64, n: usize): usize {
  const left = <usize>PAGE_SIZE - (<usize>addr & (PAGE_SIZE - 1));
  return left < n ? left : n;
}

/** Whether n bytes may be read, which are made on the way (fault_in_readable). */
export function fault_in_readable(from: u64, n: usize): bool {
  while (n > 0) {
    if (!user_byte(from, false)) return false;
    const len = piece(from, n);
    from += len;
    n -= len;
  }
  return true;
}

/** A word at an address that is a multiple of 8. False when it cannot be written. */
export function put_user64(to: u64, value: u64): bool {
  const at = user_byte(to, true);
  if (at) store<u64>(at, value);
  return at != 0;
}

export function copy_to_user(to: u64, from: usize, n: usize): usize {
  while (n > 0) {
    const len = piece(to, n);
    const at = user_byte(to, true);
    if (!at) break;
    memory.copy(at, from, len);
    to += len;
    from += len;
    n -= len;
  }
  return n;
}

export function copy_from_user(to: usize, from: u64, n: usize): usize {
  while (n > 0) {
    const len = piece(from, n);
    const at = user_byte(from, false);
    if (!at) break;
    memory.copy(to, at, len);
    to += len;
    from += len;
    n -= len;
  }
  return n;
}

export function clear_user(to: u64, n: usize): usize {
  while (n > 0) {
    const len = piece(to, n);
    const at = user_byte(to, true);
    if (!at) break;
    memory.fill(at, 0, len);
    to += len;
    n -= len;
  }
  return n;
}

/** Copies a string with its NUL. Its length, `max` when there is no NUL within `max` bytes, or -EFAULT. */
export function strncpy_from_user(to: usize, from: u64, max: usize): i32 {
  let done: usize = 0;
  while (done < max) {
    const len = piece(from, max - done);
    const at = user_byte(from, false);
    if (!at) return -EFAULT;
    memory.copy(to + done, at, len);
    for (let i: usize = 0; i < len; i++) if (load<u8>(to + done + i) == 0) return <i32>(done + i);
    done += len;
    from += len;
  }
  return <i32>max;
}

/**
 * For file operations, whose `buf` is a user's address or, from kernel_read() and kernel_write(), a kernel
 * one, also of vmalloc(). A user cannot name a kernel address: its registers hold 32 bits, and vfs_read() has
 * asked access_ok().
 */
export function copy_to_buf(to: u64, from: usize, n: usize): usize {
  if (<i64>to >= 0) return copy_to_user(to, from, n);
  if (CONFIG_CRASH_DUMP) memory.copy(pa(to), from, n);
  else memcpy_to_vm(to, from, n);
  return 0;
}

export function copy_from_buf(to: usize, from: u64, n: usize): usize {
  if (<i64>from >= 0) return copy_from_user(to, from, n);
  if (CONFIG_CRASH_DUMP) memory.copy(to, pa(from), n);
  else memcpy_from_vm(to, from, n);
  return 0;
}

export function clear_buf(to: u64, n: usize): usize {
  if (<i64>to >= 0) return clear_user(to, n);
  if (CONFIG_CRASH_DUMP) memory.fill(pa(to), 0, n);
  else memset_vm(to, 0, n);
  return 0;
}
