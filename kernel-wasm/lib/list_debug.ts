/**
 * CONFIG_DEBUG_LIST's checks (lib/list_debug.c): links that do not agree are the end of whoever goes on with
 * them (CONFIG_BUG_ON_DATA_CORRUPTION).
 */
import { LIST_POISON1, LIST_POISON2 } from "../include/generated/constants";
import { list_head } from "../include/generated/structs";
import { pr_err } from "../kernel/printk/printk";
import { BUG } from "./bug";

export function __list_add_valid(entry: u64, prev: u64, next: u64): void {
  const back = changetype<list_head>(pa(next)).prev_va;
  const forth = changetype<list_head>(pa(prev)).next_va;
  if (back == prev && forth == next && entry != prev && entry != next) return;
  if (back != prev) {
    pr_err(
      c`list_add corruption. next->prev should be prev (%px), but was %px. (next=%px).\n`, prev, back, next,
    );
  } else if (forth != next) {
    pr_err(
      c`list_add corruption. prev->next should be next (%px), but was %px. (prev=%px).\n`, next, forth, prev,
    );
  } else pr_err(c`list_add double add: new=%px, prev=%px, next=%px.\n`, entry, prev, next);
  BUG(c`lib/list_debug.ts`, 23);
}

export function __list_del_entry_valid(entry: u64, prev: u64, next: u64): void {
  if (next == LIST_POISON1) {
    pr_err(c`list_del corruption, %px->next is LIST_POISON1 (%px)\n`, entry, LIST_POISON1);
    BUG(c`lib/list_debug.ts`, 29);
  }
  if (prev == LIST_POISON2) {
    pr_err(c`list_del corruption, %px->prev is LIST_POISON2 (%px)\n`, entry, LIST_POISON2);
    BUG(c`lib/list_debug.ts`, 33);
  }
  const forth = changetype<list_head>(pa(prev)).next_va;
  const back = changetype<list_head>(pa(next)).prev_va;
  if (forth == entry && back == entry) return;
  if (forth != entry) {
    pr_err(c`list_del corruption. prev->next should be %px, but was %px. (prev=%px)\n`, entry, forth, prev);
  } else {
    pr_err(c`list_del corruption. next->prev should be %px, but was %px. (next=%px)\n`, entry, back, next);
  }
  BUG(c`lib/list_debug.ts`, 43);
}
