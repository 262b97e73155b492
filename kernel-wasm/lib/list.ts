/**
 * Linux's doubly linked lists (include/linux/list.h) and hash lists. The links in memory are virtual
 * addresses; they are passed on as they are, so that a list costs one translation a link.
 */
import { CONFIG_DEBUG_LIST, LIST_POISON1, LIST_POISON2 } from "../include/generated/constants";
import { hlist_head, hlist_node, list_head } from "../include/generated/structs";
import { __list_add_valid, __list_del_entry_valid } from "./list_debug";

export function INIT_LIST_HEAD(list: list_head): void {
  const self = va(changetype<usize>(list));
  list.next_va = self;
  list.prev_va = self;
}

function __list_add(entry: list_head, prev: u64, next: u64): void {
  if (CONFIG_DEBUG_LIST) __list_add_valid(va(changetype<usize>(entry)), prev, next);
  list_link(entry, prev, next);
}

function list_link(entry: list_head, prev: u64, next: u64): void {
  const self = va(changetype<usize>(entry));
  changetype<list_head>(pa(next)).prev_va = self;
  entry.next_va = next;
  entry.prev_va = prev;
  changetype<list_head>(pa(prev)).next_va = self;
}

/** Behind `head`: a stack. */
export function list_add(entry: list_head, head: list_head): void {
  __list_add(entry, va(changetype<usize>(head)), head.next_va);
}

/** Before `head`: a queue. */
export function list_add_tail(entry: list_head, head: list_head): void {
  __list_add(entry, head.prev_va, va(changetype<usize>(head)));
}

export function __list_del_entry(entry: list_head): void {
  const next = entry.next_va;
  const prev = entry.prev_va;
  if (CONFIG_DEBUG_LIST) __list_del_entry_valid(va(changetype<usize>(entry)), prev, next);
  changetype<list_head>(pa(next)).prev_va = prev;
  changetype<list_head>(pa(prev)).next_va = next;
}

export function list_del(entry: list_head): void {
  __list_del_entry(entry);
  entry.next_va = LIST_POISON1;
  entry.prev_va = LIST_POISON2;
}

export function list_del_init(entry: list_head): void {
  __list_del_entry(entry);
  INIT_LIST_HEAD(entry);
}

export function list_move(entry: list_head, head: list_head): void {
  __list_del_entry(entry);
  list_add(entry, head);
}

export function list_move_tail(entry: list_head, head: list_head): void {
  __list_del_entry(entry);
  list_add_tail(entry, head);
}

/** `entry` takes the place of `old`, whose links stay as they were. */
export function list_replace(old: list_head, entry: list_head): void {
  list_link(entry, old.prev_va, old.next_va);
}

/** Two entries change places, also when they are neighbours or on different lists. */
export function list_swap(a: list_head, b: list_head): void {
  const before_b = b.prev;
  list_del(b);
  list_replace(a, b);
  list_add(a, changetype<usize>(before_b) == changetype<usize>(a) ? b : before_b);
}

/** Of an entry that another CPU may just be taking off its list: both links say so, the second one last. */
export function list_empty_careful(head: list_head): bool {
  const self = va(changetype<usize>(head));
  return head.next_va == self && head.prev_va == self;
}

@inline export function list_empty(head: list_head): bool {
  return changetype<usize>(head.next) == changetype<usize>(head);
}

@inline export function list_is_head(entry: list_head, head: list_head): bool {
  return changetype<usize>(entry) == changetype<usize>(head);
}

export function list_is_singular(head: list_head): bool {
  return !list_empty(head) && head.next_va == head.prev_va;
}

/** Moves all of `list` behind `head`; `list` is empty afterwards. */
export function list_splice_init(list: list_head, head: list_head): void {
  if (list_empty(list)) return;
  const first = list.next_va;
  const last = list.prev_va;
  const at = head.next_va;
  changetype<list_head>(pa(first)).prev_va = va(changetype<usize>(head));
  head.next_va = first;
  changetype<list_head>(pa(last)).next_va = at;
  changetype<list_head>(pa(at)).prev_va = last;
  INIT_LIST_HEAD(list);
}

@inline export function INIT_HLIST_HEAD(head: hlist_head): void {
  head.first_va = 0;
}

@inline export function INIT_HLIST_NODE(node: hlist_node): void {
  node.next_va = 0;
  node.pprev_va = 0;
}

@inline export function hlist_empty(head: hlist_head): bool {
  return head.first_va == 0;
}

@inline export function hlist_unhashed(node: hlist_node): bool {
  return node.pprev_va == 0;
}

export function hlist_add_head(node: hlist_node, head: hlist_head): void {
  const first = head.first;
  node.next_va = head.first_va;
  if (!isnull(first)) first.pprev_va = va(hlist_node.addr_of_next(node));
  head.first_va = va(changetype<usize>(node));
  node.pprev_va = va(hlist_head.addr_of_first(head));
}

export function hlist_del(node: hlist_node): void {
  const next = node.next;
  // pprev is the address of the pointer that leads here: a head's `first` or a node's `next`, both at offset
  // 0.
  changetype<hlist_head>(pa(node.pprev_va)).first_va = node.next_va;
  if (!isnull(next)) next.pprev_va = node.pprev_va;
  node.next_va = LIST_POISON1;
  node.pprev_va = LIST_POISON2;
}

/** All of `old` on `head`, which held nothing. */
export function hlist_move_list(old: hlist_head, head: hlist_head): void {
  const first = old.first;
  head.first_va = old.first_va;
  if (!isnull(first)) first.pprev_va = va(hlist_head.addr_of_first(head));
  old.first_va = 0;
}

export function hlist_del_init(node: hlist_node): void {
  if (hlist_unhashed(node)) return;
  hlist_del(node);
  INIT_HLIST_NODE(node);
}
