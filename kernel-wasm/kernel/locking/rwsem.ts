/**
 * Reader-writer semaphores (kernel/locking/rwsem.c): the count's bits are Linux's. Who waits spins and who
 * has one never sleeps, for the reason that mutex.ts gives.
 */
import { CONFIG_SMP } from "../../include/generated/constants";
import { rw_semaphore } from "../../include/generated/structs";
import { this_cpu } from "../../include/generated/symbols";
import { INIT_LIST_HEAD } from "../../lib/list";
import { preempt_disable, preempt_enable } from "./preempt";
import { cpu_relax, raw_spin_lock_init } from "./spinlock";

const RWSEM_WRITER_LOCKED: i64 = 1;
const RWSEM_READER_BIAS: i64 = 0x100;

export function init_rwsem(sem: rw_semaphore): void {
  if (!CONFIG_SMP) return;
  sem.count.counter = 0;
  sem.owner.counter = 0;
  raw_spin_lock_init(sem.wait_lock);
  INIT_LIST_HEAD(sem.wait_list);
}

export function down_read(sem: rw_semaphore): void {
  if (!CONFIG_SMP) return;
  preempt_disable();
  const count = rw_semaphore.addr_of_count(sem);
  // A writer lets go before it looks at readers again.
  if ((atomic.add<i64>(count, RWSEM_READER_BIAS) & RWSEM_WRITER_LOCKED) == 0) return;
  while ((atomic.load<i64>(count) & RWSEM_WRITER_LOCKED) != 0) cpu_relax();
}

/** Takes it for reading if no writer has it. */
export function down_read_trylock(sem: rw_semaphore): bool {
  if (!CONFIG_SMP) return true;
  preempt_disable();
  const count = rw_semaphore.addr_of_count(sem);
  if ((atomic.add<i64>(count, RWSEM_READER_BIAS) & RWSEM_WRITER_LOCKED) == 0) return true;
  atomic.sub<i64>(count, RWSEM_READER_BIAS);
  preempt_enable();
  return false;
}

export function up_read(sem: rw_semaphore): void {
  if (!CONFIG_SMP) return;
  atomic.sub<i64>(rw_semaphore.addr_of_count(sem), RWSEM_READER_BIAS);
  preempt_enable();
}

export function rwsem_optimistic_spin(sem: rw_semaphore): void {
  const count = rw_semaphore.addr_of_count(sem);
  while (atomic.cmpxchg<i64>(count, 0, RWSEM_WRITER_LOCKED) != 0) cpu_relax();
}

export function down_write(sem: rw_semaphore): void {
  if (!CONFIG_SMP) return;
  preempt_disable();
  rwsem_optimistic_spin(sem);
  sem.owner.counter = <i64>this_cpu.current_task_va;
}

/** Whether the running task has it for writing: who would take it again waits for ever. */
export function rwsem_is_mine(sem: rw_semaphore): bool {
  return <u64>sem.owner.counter == this_cpu.current_task_va;
}

/** Takes the semaphore for writing if nobody has it. */
export function down_write_trylock(sem: rw_semaphore): bool {
  if (!CONFIG_SMP) return true;
  preempt_disable();
  if (atomic.cmpxchg<i64>(rw_semaphore.addr_of_count(sem), 0, RWSEM_WRITER_LOCKED) == 0) {
    sem.owner.counter = <i64>this_cpu.current_task_va;
    return true;
  }
  preempt_enable();
  return false;
}

export function up_write(sem: rw_semaphore): void {
  if (!CONFIG_SMP) return;
  sem.owner.counter = 0;
  atomic.sub<i64>(rw_semaphore.addr_of_count(sem), RWSEM_WRITER_LOCKED);
  preempt_enable();
}
