/** Signals (kernel/signal.c): the queues that each task and process has. Nothing sends one so far. */
import { sigpending } from "../include/generated/structs";
import { INIT_LIST_HEAD } from "../lib/list";

export function init_sigpending(pending: sigpending): void {
  INIT_LIST_HEAD(pending.list);
  pending.signal.sig[0] = 0;
}
