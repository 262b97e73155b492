/**
 * Character devices (fs/char_dev.c) and those of memory (drivers/char/mem.c): a device is found by its major
 * number, then its driver's operations take over the open file.
 */
import {
  CONFIG_CRASH_DUMP,
  CHRDEV_MAJOR_HASH_SIZE,
  EBUSY,
  EFAULT,
  ENOMEM,
  ENXIO,
  GFP_KERNEL,
  MEM_MAJOR,
  MINORBITS,
  VM_SHARED,
} from "../include/generated/constants";
import {
  cdev,
  char_device_struct,
  file,
  file_operations,
  inode,
  vm_area_struct,
} from "../include/generated/structs";
import { sym } from "../include/generated/symbols";
import { clear_buf, copy_to_buf } from "../arch/lib/usercopy";
import { mutex_lock, mutex_unlock } from "../kernel/locking/mutex";
import { INIT_LIST_HEAD } from "../lib/list";
import { get_random_u32 } from "../lib/random";
import { strscpy } from "../lib/string";
import { shmem_zero_setup } from "../mm/shmem";
import { kfree, kzalloc } from "../mm/slub";
import { MKDEV } from "./inode";
import { generic_file_llseek } from "./read_write";

const NULL_MINOR: u32 = 3;
const ZERO_MINOR: u32 = 5;
const RANDOM_MINOR: u32 = 8;
const URANDOM_MINOR: u32 = 9;
const OLDMEM_MINOR: u32 = 12;
const RANDOM_PIECE: usize = 256;

/** All minors of a major number go to `fops`. */
export function register_chrdev(major: u32, name: usize, fops: file_operations): i32 {
  const region = changetype<char_device_struct>(kzalloc(char_device_struct.SIZE, GFP_KERNEL));
  const dev = changetype<cdev>(kzalloc(cdev.SIZE, GFP_KERNEL));
  if (isnull(region) || isnull(dev)) return -ENOMEM;
  INIT_LIST_HEAD(dev.list);
  dev.ops = fops;
  dev.dev = MKDEV(major, 0);
  dev.count = 256;
  region.major = major;
  region.minorct = 256;
  strscpy(region.name, name, 64);
  region.cdev = dev;
  const index = major % CHRDEV_MAJOR_HASH_SIZE;
  mutex_lock(sym.chrdevs_lock);
  const taken = sym.chrdevs.va(index) != 0;
  if (!taken) sym.chrdevs[index] = region;
  mutex_unlock(sym.chrdevs_lock);
  if (!taken) return 0;
  kfree(changetype<usize>(dev));
  kfree(changetype<usize>(region));
  return -EBUSY;
}

/** The device of a major number, or null. */
function cdev_lookup(major: u32): cdev {
  mutex_lock(sym.chrdevs_lock);
  const region = sym.chrdevs[major % CHRDEV_MAJOR_HASH_SIZE];
  mutex_unlock(sym.chrdevs_lock);
  return isnull(region) || region.major != major ? changetype<cdev>(0) : region.cdev;
}

export function chrdev_open(node: inode, filp: file): i32 {
  const dev = cdev_lookup(node.i_rdev >> MINORBITS);
  if (isnull(dev)) return -ENXIO;
  node.i_cdev = dev;
  filp.f_op = dev.ops;
  return filp.f_op.open == 0 ? 0 : call_indirect<i32>(text_index(filp.f_op.open), node, filp);
}

export function read_null(filp: file, buf: u64, count: usize, pos: i64): i64 {
  return 0;
}

export function write_null(filp: file, buf: u64, count: usize, pos: i64): i64 {
  return count;
}

export function read_zero(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const done = count - clear_buf(buf, count);
  return done == 0 && count != 0 ? -EFAULT : done;
}

/** /dev/random and /dev/urandom: bytes of the kernel's generator. */
export function read_urandom(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const words = kzalloc(RANDOM_PIECE, GFP_KERNEL);
  if (!words) return -ENOMEM;
  let left = count;
  while (left) {
    const len = min(left, RANDOM_PIECE);
    for (let at: usize = 0; at < len; at += 4) store<u32>(words + at, get_random_u32());
    if (copy_to_buf(buf + (count - left), words, len)) break;
    left -= len;
  }
  kfree(words);
  return left == count && count ? -EFAULT : count - left;
}

/** /dev/oldmem: the crashed kernel's memory, by physical address, to the end of what the machine has. */
export function read_oldmem(filp: file, buf: u64, count: usize, pos: i64): i64 {
  const top = <i64>(<u32>memory.size()) << 16;
  if (pos >= top) return 0;
  const n = <usize>min<i64>(count, top - pos);
  return copy_to_buf(buf, <usize>pos, n) ? -EFAULT : n;
}

/** A private mapping is anonymous memory. */
export function mmap_zero(filp: file, vma: vm_area_struct): i32 {
  return vma.vm_flags & VM_SHARED ? shmem_zero_setup(vma) : 0;
}

export function memory_open(node: inode, filp: file): i32 {
  const minor = node.i_rdev & ((1 << MINORBITS) - 1);
  if (minor == NULL_MINOR) filp.f_op = sym.null_fops;
  else if (minor == ZERO_MINOR) filp.f_op = sym.zero_fops;
  else if (!CONFIG_CRASH_DUMP && (minor == RANDOM_MINOR || minor == URANDOM_MINOR)) {
    filp.f_op = sym.urandom_fops;
  } else if (CONFIG_CRASH_DUMP && minor == OLDMEM_MINOR) {
    filp.f_op = sym.oldmem_fops;
  } else {
    return -ENXIO;
  }
  return 0;
}

export function chrdev_init(): void {
  sym.def_chr_fops.open = fnptr(chrdev_open);
  sym.memory_fops.open = fnptr(memory_open);
  sym.null_fops.read = fnptr(read_null);
  sym.null_fops.write = fnptr(write_null);
  sym.zero_fops.read = fnptr(read_zero);
  sym.zero_fops.write = fnptr(write_null);
  if (CONFIG_CRASH_DUMP) {
    sym.oldmem_fops.read = fnptr(read_oldmem);
    sym.oldmem_fops.llseek = fnptr(generic_file_llseek);
  } else {
    sym.zero_fops.mmap = fnptr(mmap_zero);
    sym.urandom_fops.read = fnptr(read_urandom);
    sym.urandom_fops.write = fnptr(write_null);
  }
  register_chrdev(MEM_MAJOR, c`mem`, sym.memory_fops);
}
