/**
 * The frame of a signal handler (arch/x86/kernel/signal.c): what was interrupted lies on the user's stack as
 * struct rt_sigframe, and the registers say that the handler is called. Its return address is the program's
 * restorer, which calls rt_sigreturn(2); that takes the registers from the frame, whatever it says by then.
 *
 *     the interrupted sp
 *     - 128            red zone
 *     struct rt_sigframe {pretcode, uc {mcontext: the registers, sigmask}, info}, at 16n + 8     <- sp
 *
 */
import {
  EINTR,
  ERESTARTNOHAND,
  ERESTARTNOINTR,
  ERESTARTSYS,
  ERESTART_RESTARTBLOCK,
  FIX_EFLAGS,
  LOGLEVEL_INFO,
  RED_ZONE,
  SA_ONSTACK,
  SA_RESTART,
  SA_RESTORER,
  SA_SIGINFO,
  SIGSEGV,
  TASK_SIZE_MAX,
  UC_SIGCONTEXT_SS,
  UC_STRICT_RESTORE_SS,
  USER_CS,
  USER_DS,
  X86_EFLAGS_TF_DF_RF,
  __NR_restart_syscall,
} from "../../include/generated/constants";
import {
  kernel_siginfo,
  ksignal,
  pt_regs,
  rt_sigframe,
  sigaltstack,
  sigcontext_64,
  siginfo,
  task_struct,
  ucontext,
} from "../../include/generated/structs";
import {
  access_ok,
  clear_user,
  copy_from_user,
  copy_to_user,
  fault_in_readable,
  put_user64,
} from "../lib/usercopy";
import { printk_level } from "../../kernel/printk/printk";
import { force_sig } from "../../kernel/signal";
import { do_sigaltstack, on_sig_stack, sas_ss_flags } from "../../kernel/signal_calls";
import {
  get_signal,
  restore_saved_sigmask,
  set_current_blocked,
  sigmask_to_save,
  signal_setup_done,
} from "../../kernel/signal_deliver";
import { get_current, task_pt_regs } from "./current";

/** The syscall instruction, which is made again. */
const SYSCALL_INSN_SIZE: u64 = 2;

/** A system call that was to end with one of the codes which no program sees. */
export function interrupted_syscall(regs: pt_regs): bool {
  if (<i64>regs.orig_ax < 0) return false;
  const ax = <i64>regs.ax;
  return ax == -ERESTARTSYS || ax == -ERESTARTNOINTR || ax == -ERESTARTNOHAND || ax == -ERESTART_RESTARTBLOCK;
}

/** The call is made again, as call `nr`. */
function restart_syscall(regs: pt_regs, nr: u64): void {
  regs.ax = nr;
  regs.ip -= SYSCALL_INSN_SIZE;
}

/** Where the frame goes; 0: there is no stack for it. User addresses of ours have 32 bits. */
function get_sigframe(t: task_struct, regs: pt_regs, flags: u64): u64 {
  let sp = regs.sp - RED_ZONE;
  const nested = on_sig_stack(t, regs.sp);
  const entering = !nested && (flags & SA_ONSTACK) != 0 && sas_ss_flags(t, sp) == 0;
  if (entering) sp = t.sas_ss_sp + t.sas_ss_size;
  const frame = ((sp - rt_sigframe.SIZE) & ~<u64>15) - 8;
  // One that would run over the end of the alternate stack.
  if ((nested || entering) && !on_sig_stack(t, frame)) return 0;
  return frame >> 32 || !access_ok(frame, rt_sigframe.SIZE) ? 0 : frame;
}

/** The interrupted registers. `sc` is a user's address, as in all of these. */
function setup_sigcontext(sc: sigcontext_64, regs: pt_regs, t: task_struct, mask: u64): bool {
  return put_user64(sigcontext_64.addr_of_r8(sc), regs.r8) &&
    put_user64(sigcontext_64.addr_of_r9(sc), regs.r9) &&
    put_user64(sigcontext_64.addr_of_r10(sc), regs.r10) &&
    put_user64(sigcontext_64.addr_of_r11(sc), regs.r11) &&
    put_user64(sigcontext_64.addr_of_r12(sc), regs.r12) &&
    put_user64(sigcontext_64.addr_of_r13(sc), regs.r13) &&
    put_user64(sigcontext_64.addr_of_r14(sc), regs.r14) &&
    put_user64(sigcontext_64.addr_of_r15(sc), regs.r15) &&
    put_user64(sigcontext_64.addr_of_di(sc), regs.di) &&
    put_user64(sigcontext_64.addr_of_si(sc), regs.si) &&
    put_user64(sigcontext_64.addr_of_bp(sc), regs.bp) &&
    put_user64(sigcontext_64.addr_of_bx(sc), regs.bx) &&
    put_user64(sigcontext_64.addr_of_dx(sc), regs.dx) &&
    put_user64(sigcontext_64.addr_of_ax(sc), regs.ax) &&
    put_user64(sigcontext_64.addr_of_cx(sc), regs.cx) &&
    put_user64(sigcontext_64.addr_of_sp(sc), regs.sp) &&
    put_user64(sigcontext_64.addr_of_ip(sc), regs.ip) &&
    put_user64(sigcontext_64.addr_of_flags(sc), regs.flags) &&
    // cs, gs, fs, ss.
    put_user64(sigcontext_64.addr_of_cs(sc), (regs.cs & 0xffff) | (regs.ss << 48)) &&
    put_user64(sigcontext_64.addr_of_err(sc), t.thread.error_code) &&
    put_user64(sigcontext_64.addr_of_trapno(sc), t.thread.trap_nr) &&
    put_user64(sigcontext_64.addr_of_oldmask(sc), mask) &&
    put_user64(sigcontext_64.addr_of_cr2(sc), t.thread.cr2) &&
    put_user64(sigcontext_64.addr_of_fpstate(sc), 0) &&
    !clear_user(sigcontext_64.addr_of_reserved1(sc), 64);
}

function save_altstack(ss: sigaltstack, regs: pt_regs, t: task_struct): bool {
  return put_user64(sigaltstack.addr_of_ss_sp(ss), t.sas_ss_sp) &&
    put_user64(sigaltstack.addr_of_ss_flags(ss), <u32>sas_ss_flags(t, regs.sp)) &&
    put_user64(sigaltstack.addr_of_ss_size(ss), t.sas_ss_size);
}

function copy_siginfo_to_user(to: siginfo, from: kernel_siginfo): bool {
  const at = changetype<usize>(to);
  const rest = siginfo.SIZE - kernel_siginfo.SIZE;
  return !copy_to_user(at, changetype<usize>(from), kernel_siginfo.SIZE) &&
    !clear_user(at + kernel_siginfo.SIZE, rest);
}

/** Whether the frame of t.ksig stands. A handler without a restorer could not return. */
export function setup_rt_frame(t: task_struct, regs: pt_regs): bool {
  const ksig: ksignal = t.ksig;
  const sa = ksig.ka.sa;
  const at = get_sigframe(t, regs, sa.sa_flags);
  if (!at || !(sa.sa_flags & SA_RESTORER)) return false;
  const frame = changetype<rt_sigframe>(<usize>at);
  const uc: ucontext = frame.uc;
  const mask = sigmask_to_save(t);
  const written = put_user64(at, sa.sa_restorer_va) &&
    put_user64(ucontext.addr_of_uc_flags(uc), UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS) &&
    put_user64(ucontext.addr_of_uc_link(uc), 0) &&
    save_altstack(uc.uc_stack, regs, t) &&
    setup_sigcontext(uc.uc_mcontext, regs, t, mask) &&
    put_user64(ucontext.addr_of_uc_sigmask(uc), mask) &&
    (!(sa.sa_flags & SA_SIGINFO) || copy_siginfo_to_user(frame.info, ksig.info));
  if (!written) return false;
  regs.di = ksig.sig;
  regs.ax = 0;
  regs.si = changetype<usize>(frame.info);
  regs.dx = changetype<usize>(uc);
  regs.ip = sa.sa_handler_va;
  regs.sp = at;
  regs.cs = USER_CS;
  regs.ss = USER_DS;
  regs.flags &= ~<u64>X86_EFLAGS_TF_DF_RF;
  return true;
}

/** The handler of t.ksig is to run: first, what becomes of the system call that it interrupts. */
export function handle_signal(t: task_struct, regs: pt_regs): void {
  if (interrupted_syscall(regs)) {
    const ax = <i64>regs.ax;
    const sa_restart = (t.ksig.ka.sa.sa_flags & SA_RESTART) != 0;
    if (ax == -ERESTARTNOINTR || (ax == -ERESTARTSYS && sa_restart)) restart_syscall(regs, regs.orig_ax);
    else regs.ax = -EINTR;
  }
  regs.orig_ax = -1;
  signal_setup_done(!setup_rt_frame(t, regs));
}

/**
 * Signals of the running task on its way to user mode. Without a handler, a call that was interrupted is made
 * again.
 */
export function arch_do_signal_or_restart(regs: pt_regs): void {
  // A call that has ended is not made again, though the task may sleep here.
  if (!interrupted_syscall(regs)) regs.orig_ax = -1;
  if (get_signal()) {
    handle_signal(get_current(), regs);
    return;
  }
  if (interrupted_syscall(regs)) {
    const block = <i64>regs.ax == -ERESTART_RESTARTBLOCK;
    restart_syscall(regs, block ? __NR_restart_syscall : regs.orig_ax);
    regs.orig_ax = -1;
  }
  restore_saved_sigmask();
}

/** A register of `regs` from the user's word at `from`, which is there. */
@inline
function take(to: usize, from: usize): void {
  copy_from_user(to, from, 8);
}

function restore_sigcontext(regs: pt_regs, sc: sigcontext_64): void {
  const flags = regs.flags;
  take(pt_regs.addr_of_r8(regs), sigcontext_64.addr_of_r8(sc));
  take(pt_regs.addr_of_r9(regs), sigcontext_64.addr_of_r9(sc));
  take(pt_regs.addr_of_r10(regs), sigcontext_64.addr_of_r10(sc));
  take(pt_regs.addr_of_r11(regs), sigcontext_64.addr_of_r11(sc));
  take(pt_regs.addr_of_r12(regs), sigcontext_64.addr_of_r12(sc));
  take(pt_regs.addr_of_r13(regs), sigcontext_64.addr_of_r13(sc));
  take(pt_regs.addr_of_r14(regs), sigcontext_64.addr_of_r14(sc));
  take(pt_regs.addr_of_r15(regs), sigcontext_64.addr_of_r15(sc));
  take(pt_regs.addr_of_di(regs), sigcontext_64.addr_of_di(sc));
  take(pt_regs.addr_of_si(regs), sigcontext_64.addr_of_si(sc));
  take(pt_regs.addr_of_bp(regs), sigcontext_64.addr_of_bp(sc));
  take(pt_regs.addr_of_bx(regs), sigcontext_64.addr_of_bx(sc));
  take(pt_regs.addr_of_dx(regs), sigcontext_64.addr_of_dx(sc));
  take(pt_regs.addr_of_ax(regs), sigcontext_64.addr_of_ax(sc));
  take(pt_regs.addr_of_cx(regs), sigcontext_64.addr_of_cx(sc));
  take(pt_regs.addr_of_sp(regs), sigcontext_64.addr_of_sp(sc));
  take(pt_regs.addr_of_ip(regs), sigcontext_64.addr_of_ip(sc));
  take(pt_regs.addr_of_flags(regs), sigcontext_64.addr_of_flags(sc));
  regs.flags = (flags & ~<u64>FIX_EFLAGS) | (regs.flags & FIX_EFLAGS);
  take(pt_regs.addr_of_cs(regs), sigcontext_64.addr_of_cs(sc));
  regs.ss = (regs.cs >> 48) | 3;
  regs.cs = (regs.cs & 0xffff) | 3;
  // Not in a system call that could be made again.
  regs.orig_ax = -1;
  get_current().restart_block.fn = 0;
}

/** rt_sigreturn(2): the registers of what the handler interrupted. */
export function sys_rt_sigreturn(): i64 {
  const t = get_current();
  const regs = task_pt_regs(t);
  const at = regs.sp - 8;
  if (at >> 32 || at + rt_sigframe.SIZE > TASK_SIZE_MAX || !fault_in_readable(at, rt_sigframe.SIZE)) {
    signal_fault(t, regs, at);
    return 0;
  }
  const uc: ucontext = changetype<rt_sigframe>(<usize>at).uc;
  const scratch = changetype<usize>(t.ksig.info);
  take(scratch, ucontext.addr_of_uc_sigmask(uc));
  set_current_blocked(load<u64>(scratch));
  restore_sigcontext(regs, uc.uc_mcontext);
  // As in Linux: an alternate stack that makes no sense is left as it is.
  copy_from_user(scratch, changetype<usize>(uc.uc_stack), sigaltstack.SIZE);
  do_sigaltstack(changetype<sigaltstack>(scratch), regs.sp);
  return regs.ax;
}

function signal_fault(t: task_struct, regs: pt_regs, frame: u64): void {
  printk_level(
    LOGLEVEL_INFO, c`%s[%d] bad frame in rt_sigreturn frame:%016llx ip:%llx sp:%llx orax:%llx\n`, t.comm,
    t.pid, frame, regs.ip, regs.sp, regs.orig_ax,
  );
  force_sig(SIGSEGV);
}
