/**
 * Mutexes (kernel/locking/mutex.c). wasm cannot switch stacks: a task that sleeps starts its system call
 * again, so it must not sleep behind an effect, and a task that waits for a mutex often has some. Therefore
 * who waits spins, as Linux does while the owner runs (mutex_optimistic_spin), and the owner never sleeps: a
 * mutex raises the preemption count, and schedule() reports it. `owner` is the owner's task_struct.
 */
import { CONFIG_SMP } from "../../include/generated/constants";
import { mutex } from "../../include/generated/structs";
import { this_cpu } from "../../include/generated/symbols";
import { INIT_LIST_HEAD } from "../../lib/list";
import { preempt_disable, preempt_enable } from "./preempt";
import { cpu_relax, spin_lock_init } from "./spinlock";

export function mutex_init(lock: mutex): void {
  if (!CONFIG_SMP) return;
  lock.owner.counter = 0;
  spin_lock_init(lock.wait_lock);
  INIT_LIST_HEAD(lock.wait_list);
}

@inline
function __mutex_trylock(lock: mutex): bool {
  const owner = <i64>this_cpu.current_task_va;
  return atomic.cmpxchg<i64>(mutex.addr_of_owner(lock), 0, owner) == 0;
}

export function mutex_optimistic_spin(lock: mutex): void {
  while (!__mutex_trylock(lock)) cpu_relax();
}

export function mutex_lock(lock: mutex): void {
  if (!CONFIG_SMP) return;
  preempt_disable();
  if (!__mutex_trylock(lock)) mutex_optimistic_spin(lock);
}

/** Takes the mutex if it is free. */
export function mutex_trylock(lock: mutex): bool {
  if (!CONFIG_SMP) return true;
  preempt_disable();
  if (__mutex_trylock(lock)) return true;
  preempt_enable();
  return false;
}

export function mutex_unlock(lock: mutex): void {
  if (!CONFIG_SMP) return;
  atomic.store<i64>(mutex.addr_of_owner(lock), 0);
  preempt_enable();
}

@inline
export function mutex_is_locked(lock: mutex): bool {
  return CONFIG_SMP && atomic.load<i64>(mutex.addr_of_owner(lock)) != 0;
}
