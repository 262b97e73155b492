/**
 * Reader-writer spin locks (kernel/locking/qrwlock.c). The word: readers in steps of _QR_BIAS, a writer in
 * the low byte, as qrwlock has it. A reader in an interrupt comes in past a waiting writer.
 */
import { CONFIG_SMP } from "../../include/generated/constants";
import { rwlock_t } from "../../include/generated/structs";
import { local_irq_disable, local_irq_enable, local_irq_restore, local_irq_save } from "../irqflags";
import { preempt_disable, preempt_enable } from "./preempt";
import { cpu_relax } from "./spinlock";

const _QW_LOCKED: i32 = 0xff;
const _QR_BIAS: i32 = 0x200;

export function queued_read_lock_slowpath(lock: rwlock_t): void {
  while ((atomic.load<i32>(changetype<usize>(lock)) & _QW_LOCKED) != 0) cpu_relax();
}

@inline
export function read_lock(lock: rwlock_t): void {
  if (!CONFIG_SMP) return;
  preempt_disable();
  // A writer that has the lock lets it go before it looks at readers again.
  const before = atomic.add<i32>(changetype<usize>(lock), _QR_BIAS);
  if ((before & _QW_LOCKED) != 0) queued_read_lock_slowpath(lock);
}

@inline
export function read_unlock(lock: rwlock_t): void {
  if (!CONFIG_SMP) return;
  atomic.sub<i32>(changetype<usize>(lock), _QR_BIAS);
  preempt_enable();
}

export function queued_write_lock_slowpath(lock: rwlock_t): void {
  while (atomic.cmpxchg<i32>(changetype<usize>(lock), 0, _QW_LOCKED) != 0) cpu_relax();
}

@inline
export function write_lock(lock: rwlock_t): void {
  if (!CONFIG_SMP) return;
  preempt_disable();
  if (atomic.cmpxchg<i32>(changetype<usize>(lock), 0, _QW_LOCKED) != 0) queued_write_lock_slowpath(lock);
}

@inline
export function write_unlock(lock: rwlock_t): void {
  if (!CONFIG_SMP) return;
  // Readers that wait for it are counted in the other bits.
  atomic.sub<i32>(changetype<usize>(lock), _QW_LOCKED);
  preempt_enable();
}

@inline
export function write_lock_irq(lock: rwlock_t): void {
  local_irq_disable();
  write_lock(lock);
}

@inline
export function write_unlock_irq(lock: rwlock_t): void {
  write_unlock(lock);
  local_irq_enable();
}

@inline
export function write_lock_irqsave(lock: rwlock_t): i32 {
  const flags = local_irq_save();
  write_lock(lock);
  return flags;
}

@inline
export function write_unlock_irqrestore(lock: rwlock_t, flags: i32): void {
  write_unlock(lock);
  local_irq_restore(flags);
}
