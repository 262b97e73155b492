/** Credentials (kernel/cred.c). All tasks are root's: they share init_cred, counted. */
import { cred, task_struct } from "../include/generated/structs";
import { atomic_dec, atomic_inc } from "../lib/atomic";

export function get_cred(c: cred): cred {
  atomic_inc(c.usage);
  return c;
}

export function put_cred(c: cred): void {
  atomic_dec(c.usage);
}

export function copy_creds(p: task_struct): void {
  p.real_cred = get_cred(p.cred);
  p.cred = get_cred(p.cred);
}

export function exit_creds(t: task_struct): void {
  put_cred(t.real_cred);
  put_cred(t.cred);
  t.real_cred_va = 0;
  t.cred_va = 0;
}
