/** Namespaces of a task (kernel/nsproxy.c): one set for all, counted. */
import { task_struct } from "../include/generated/structs";

export function copy_namespaces(p: task_struct): void {
  p.nsproxy.count.counter += 1;
}

export function exit_task_namespaces(t: task_struct): void {
  t.nsproxy.count.counter -= 1;
  t.nsproxy_va = 0;
}
