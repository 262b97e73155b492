/**
 * Notifier chains (kernel/notifier.c), the atomic kind: callbacks in order of priority, highest first.
 * A callback is `(block: usize, action: u64, data: usize) => i32`.
 */
import { CONFIG_CRASH_DUMP, NOTIFY_DONE, NOTIFY_STOP_MASK } from "../include/generated/constants";
import { WARN } from "../lib/bug";
import { atomic_notifier_head, notifier_block } from "../include/generated/structs";
import { spin_lock_irqsave, spin_unlock_irqrestore } from "./locking/spinlock";

/**
 * Links are set last, so that a chain that is just being called stays whole; the lock is for two of these.
 */
export function atomic_notifier_chain_register(head: atomic_notifier_head, block: notifier_block): void {
  const flags = spin_lock_irqsave(head.lock);
  notifier_chain_register(head, block);
  spin_unlock_irqrestore(head.lock, flags);
}

function notifier_chain_register(head: atomic_notifier_head, block: notifier_block): void {
  // Where the link to the next block is: in the head, then in each block.
  let link = atomic_notifier_head.addr_of_head(head);
  while (load<u64>(link)) {
    const at = changetype<notifier_block>(pa(load<u64>(link)));
    if (!CONFIG_CRASH_DUMP) {
      const text = c`notifier callback %ps already registered\n`;
      if (WARN(at == block, c`kernel/notifier.ts`, 26, text, block.notifier_call)) return;
    }
    if (at.priority < block.priority) break;
    link = notifier_block.addr_of_next(at);
  }
  block.next_va = load<u64>(link);
  store<u64>(link, va(changetype<usize>(block)));
}

/** Calls the blocks until one says stop; returns what the last one returned. */
export function atomic_notifier_call_chain(head: atomic_notifier_head, action: u64, data: usize): i32 {
  let result: i32 = NOTIFY_DONE;
  for (let block = head.head; !isnull(block); block = block.next) {
    result = call_indirect<i32>(text_index(block.notifier_call), changetype<usize>(block), action, data);
    if (result & NOTIFY_STOP_MASK) break;
  }
  return result;
}
