/** Namespaces of a task (kernel/nsproxy.c): one set for all, counted. */
import { task_struct } from "../include/generated/structs";
import { atomic_dec, atomic_inc } from "../lib/atomic";

export function copy_namespaces(p: task_struct): void {
  atomic_inc(p.nsproxy.count);
}

export function exit_task_namespaces(t: task_struct): void {
  atomic_dec(t.nsproxy.count);
  t.nsproxy_va = 0;
}
