/**
 * The part of the system call table that is about processes, signals and pipes. The capture kernel has none
 * of it: its one program is a multi-call binary (tools/init/exec.ts), and each call answers ENOSYS.
 */
import {
  CLONE_VFORK,
  CLONE_VM,
  ENOSYS,
  SIGCHLD,
  __NR_alarm,
  __NR_clone,
  __NR_delete_module,
  __NR_dup,
  __NR_dup2,
  __NR_execve,
  __NR_finit_module,
  __NR_fork,
  __NR_getitimer,
  __NR_getpgid,
  __NR_getppid,
  __NR_getrlimit,
  __NR_gettid,
  __NR_init_module,
  __NR_kill,
  __NR_nanosleep,
  __NR_pause,
  __NR_pipe,
  __NR_pipe2,
  __NR_restart_syscall,
  __NR_rt_sigaction,
  __NR_rt_sigpending,
  __NR_rt_sigprocmask,
  __NR_rt_sigreturn,
  __NR_rt_sigsuspend,
  __NR_setitimer,
  __NR_setrlimit,
  __NR_setsid,
  __NR_sigaltstack,
  __NR_swapoff,
  __NR_swapon,
  __NR_tgkill,
  __NR_tkill,
  __NR_vfork,
  __NR_wait4,
} from "../../include/generated/constants";
import { pt_regs } from "../../include/generated/structs";
import { sys_execve } from "../../fs/exec";
import { ksys_dup, ksys_dup3 } from "../../fs/file";
import { do_pipe2 } from "../../fs/pipe";
import { get_current } from "../kernel/current";
import { sys_rt_sigreturn } from "../kernel/signal";
import { kernel_clone } from "../../kernel/fork";
import {
  __do_sys_delete_module,
  __do_sys_finit_module,
  __do_sys_init_module,
} from "../../kernel/module/main";
import { sys_nanosleep } from "../../kernel/sched/sleep";
import {
  do_tkill,
  sys_kill,
  sys_pause,
  sys_restart_syscall,
  sys_rt_sigaction,
  sys_rt_sigpending,
  sys_rt_sigprocmask,
  sys_rt_sigsuspend,
  sys_sigaltstack,
  sys_tgkill,
} from "../../kernel/signal_calls";
import { sys_getpgid, sys_getppid, sys_getrlimit, sys_setrlimit, sys_setsid } from "../../kernel/sys";
import { sys_alarm, sys_getitimer, sys_setitimer } from "../../kernel/time/itimer";
import { kernel_wait4 } from "../../kernel/wait";
import { sys_swapoff, sys_swapon } from "../../mm/swapon";

export function __x64_sys_clone(regs: pt_regs): i64 {
  return kernel_clone(<u32>regs.di, regs.si);
}

export function __x64_sys_execve(regs: pt_regs): i64 {
  return sys_execve(regs.di, regs.si, regs.dx);
}

export function __x64_sys_wait4(regs: pt_regs): i64 {
  return kernel_wait4(<i32>regs.di, regs.si, <i32>regs.dx);
}

export function __x64_sys_nanosleep(regs: pt_regs): i64 {
  return sys_nanosleep(regs.di, regs.si);
}

export function __x64_sys_pause(regs: pt_regs): i64 {
  return sys_pause();
}

export function __x64_sys_rt_sigsuspend(regs: pt_regs): i64 {
  return sys_rt_sigsuspend(regs.di, regs.si);
}

export function __x64_sys_rt_sigreturn(regs: pt_regs): i64 {
  return sys_rt_sigreturn();
}

export function __x64_sys_restart_syscall(regs: pt_regs): i64 {
  return sys_restart_syscall();
}

export function __x64_sys_kill(regs: pt_regs): i64 {
  return sys_kill(<i32>regs.di, <i32>regs.si);
}

export function __x64_sys_swapon(regs: pt_regs): i64 {
  return sys_swapon(regs.di, <i32>regs.si);
}

export function __x64_sys_swapoff(regs: pt_regs): i64 {
  return sys_swapoff(regs.di);
}

export function x64_process_call(regs: pt_regs, nr: u32): i64 {
  switch (nr) {
    case __NR_rt_sigaction: return sys_rt_sigaction(<i32>regs.di, regs.si, regs.dx, regs.r10);
    case __NR_rt_sigprocmask: return sys_rt_sigprocmask(<i32>regs.di, regs.si, regs.dx, regs.r10);
    case __NR_pipe: return do_pipe2(regs.di, 0);
    case __NR_dup: return ksys_dup(<u32>regs.di);
    case __NR_dup2: return ksys_dup3(<u32>regs.di, <u32>regs.si, 0);
    case __NR_rt_sigreturn: return __x64_sys_rt_sigreturn(regs);
    case __NR_pause: return __x64_sys_pause(regs);
    case __NR_nanosleep: return __x64_sys_nanosleep(regs);
    case __NR_getitimer: return sys_getitimer(<i32>regs.di, regs.si);
    case __NR_alarm: return sys_alarm(<u32>regs.di);
    case __NR_setitimer: return sys_setitimer(<i32>regs.di, regs.si, regs.dx);
    case __NR_clone: return __x64_sys_clone(regs);
    case __NR_fork: return kernel_clone(SIGCHLD, 0);
    case __NR_vfork: return kernel_clone(CLONE_VFORK | CLONE_VM | SIGCHLD, 0);
    case __NR_execve: return __x64_sys_execve(regs);
    case __NR_wait4: return __x64_sys_wait4(regs);
    case __NR_kill: return __x64_sys_kill(regs);
    case __NR_getrlimit: return sys_getrlimit(<u32>regs.di, regs.si);
    case __NR_getppid: return sys_getppid();
    case __NR_setsid: return sys_setsid();
    case __NR_getpgid: return sys_getpgid(<i32>regs.di);
    case __NR_rt_sigpending: return sys_rt_sigpending(regs.di, regs.si);
    case __NR_rt_sigsuspend: return __x64_sys_rt_sigsuspend(regs);
    case __NR_sigaltstack: return sys_sigaltstack(regs.di, regs.si);
    case __NR_setrlimit: return sys_setrlimit(<u32>regs.di, regs.si);
    case __NR_init_module: return __do_sys_init_module(regs.di, <usize>regs.si, regs.dx);
    case __NR_delete_module: return __do_sys_delete_module(regs.di, <u32>regs.si);
    case __NR_gettid: return get_current().pid;
    case __NR_tkill: return do_tkill(0, <i32>regs.di, <i32>regs.si);
    case __NR_restart_syscall: return __x64_sys_restart_syscall(regs);
    case __NR_tgkill: return sys_tgkill(<i32>regs.di, <i32>regs.si, <i32>regs.dx);
    case __NR_finit_module: return __do_sys_finit_module(<i32>regs.di, regs.si, <u32>regs.dx);
    case __NR_swapon: return __x64_sys_swapon(regs);
    case __NR_swapoff: return __x64_sys_swapoff(regs);
    case __NR_pipe2: return do_pipe2(regs.di, <i32>regs.si);
    default: return -ENOSYS;
  }
}
