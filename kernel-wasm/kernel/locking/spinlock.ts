/**
 * Spin locks (kernel/locking/{spinlock,qspinlock}.c). The word in memory is qspinlock's: 0 free, 1 taken;
 * who waits does not queue. A loop that waits gives its time to the other CPUs (cpu_relax). The capture
 * kernel has one CPU: there a lock is nothing.
 *
 * What an interrupt takes as well is taken with interrupts off, or a CPU waits for itself. Nobody sleeps
 * with a lock.
 */
import { CONFIG_SMP } from "../../include/generated/constants";
import { raw_spinlock, spinlock } from "../../include/generated/structs";
import { local_irq_disable, local_irq_enable, local_irq_restore, local_irq_save } from "../irqflags";
import { preempt_disable, preempt_enable } from "./preempt";

@external("hw", "pause") declare function hw_pause(): void;

const _Q_LOCKED_VAL: i32 = 1;

/** What a loop does that waits for another CPU. */
@inline
export function cpu_relax(): void {
  if (CONFIG_SMP) hw_pause();
}

export function raw_spin_lock_init(lock: raw_spinlock): void {
  if (!CONFIG_SMP) return;
  lock.raw_lock.val.counter = 0;
}

export function native_queued_spin_lock_slowpath(lock: raw_spinlock): void {
  const word = changetype<usize>(lock);
  do {
    while (atomic.load<i32>(word) != 0) cpu_relax();
  } while (atomic.cmpxchg<i32>(word, 0, _Q_LOCKED_VAL) != 0);
}

@inline
export function raw_spin_lock(lock: raw_spinlock): void {
  if (!CONFIG_SMP) return;
  preempt_disable();
  if (atomic.cmpxchg<i32>(changetype<usize>(lock), 0, _Q_LOCKED_VAL) != 0) {
    native_queued_spin_lock_slowpath(lock);
  }
}

/** Takes the lock if it is free. */
@inline
export function raw_spin_trylock(lock: raw_spinlock): bool {
  if (!CONFIG_SMP) return true;
  preempt_disable();
  if (atomic.cmpxchg<i32>(changetype<usize>(lock), 0, _Q_LOCKED_VAL) == 0) return true;
  preempt_enable();
  return false;
}

@inline
export function raw_spin_unlock(lock: raw_spinlock): void {
  if (!CONFIG_SMP) return;
  atomic.store<i32>(changetype<usize>(lock), 0);
  preempt_enable();
}

@inline
export function raw_spin_is_locked(lock: raw_spinlock): bool {
  return CONFIG_SMP && atomic.load<i32>(changetype<usize>(lock)) != 0;
}

@inline
export function raw_spin_lock_irq(lock: raw_spinlock): void {
  local_irq_disable();
  raw_spin_lock(lock);
}

@inline
export function raw_spin_unlock_irq(lock: raw_spinlock): void {
  raw_spin_unlock(lock);
  local_irq_enable();
}

/** What raw_spin_unlock_irqrestore() takes. */
@inline
export function raw_spin_lock_irqsave(lock: raw_spinlock): i32 {
  const flags = local_irq_save();
  raw_spin_lock(lock);
  return flags;
}

@inline
export function raw_spin_unlock_irqrestore(lock: raw_spinlock, flags: i32): void {
  raw_spin_unlock(lock);
  local_irq_restore(flags);
}

@inline
export function spin_lock_init(lock: spinlock): void {
  raw_spin_lock_init(lock.rlock);
}

@inline
export function spin_lock(lock: spinlock): void {
  raw_spin_lock(lock.rlock);
}

@inline
export function spin_trylock(lock: spinlock): bool {
  return raw_spin_trylock(lock.rlock);
}

@inline
export function spin_unlock(lock: spinlock): void {
  raw_spin_unlock(lock.rlock);
}

@inline
export function spin_is_locked(lock: spinlock): bool {
  return raw_spin_is_locked(lock.rlock);
}

@inline
export function spin_lock_irq(lock: spinlock): void {
  raw_spin_lock_irq(lock.rlock);
}

@inline
export function spin_unlock_irq(lock: spinlock): void {
  raw_spin_unlock_irq(lock.rlock);
}

@inline
export function spin_lock_irqsave(lock: spinlock): i32 {
  return raw_spin_lock_irqsave(lock.rlock);
}

@inline
export function spin_unlock_irqrestore(lock: spinlock, flags: i32): void {
  raw_spin_unlock_irqrestore(lock.rlock, flags);
}
