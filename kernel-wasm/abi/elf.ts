/**
 * ELF as far as core headers, notes and register sets need it (include/uapi/linux/elf.h,
 * include/linux/elfcore.h, arch/x86/include/asm/user_64.h). The same bytes lie in elfcorehdr, in crash notes
 * and in the vmcore.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    typedef struct elf64_hdr {
      unsigned char e_ident[16];
      u16 e_type;
      u16 e_machine;
      u32 e_version;
      u64 e_entry;
      u64 e_phoff;
      u64 e_shoff;
      u32 e_flags;
      u16 e_ehsize;
      u16 e_phentsize;
      u16 e_phnum;
      u16 e_shentsize;
      u16 e_shnum;
      u16 e_shstrndx;
    } Elf64_Ehdr;
    typedef struct elf64_phdr {
      u32 p_type;
      u32 p_flags;
      u64 p_offset;
      u64 p_vaddr;
      u64 p_paddr;
      u64 p_filesz;
      u64 p_memsz;
      u64 p_align;
    } Elf64_Phdr;
    typedef struct elf64_note {
      u32 n_namesz;           /* with the NUL */
      u32 n_descsz;
      u32 n_type;
    } Elf64_Nhdr;

    struct elf_siginfo { int si_signo; int si_code; int si_errno; };
    struct __kernel_old_timeval { long tv_sec; long tv_usec; };
    struct user_regs_struct {
      unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax;
      unsigned long ip, cs, flags, sp, ss;
      unsigned long fs_base, gs_base, ds, es, fs, gs;
    };
    struct elf_prstatus_common {
      struct elf_siginfo pr_info;
      short pr_cursig;        /* 12 */
      unsigned long pr_sigpend;
      unsigned long pr_sighold;
      pid_t pr_pid;           /* 32 */
      pid_t pr_ppid;
      pid_t pr_pgrp;
      pid_t pr_sid;
      struct __kernel_old_timeval pr_utime;
      struct __kernel_old_timeval pr_stime;
      struct __kernel_old_timeval pr_cutime;
      struct __kernel_old_timeval pr_cstime;
    };
    struct elf_prstatus {
      struct elf_prstatus_common common;
      struct user_regs_struct pr_reg;   /* 112; the kernel's elf_gregset_t, an array of the same 27 words */
      int pr_fpvalid;
    };
    struct elf_prpsinfo {
      char pr_state;
      char pr_sname;
      char pr_zomb;
      char pr_nice;
      unsigned long pr_flag;
      unsigned int pr_uid;
      unsigned int pr_gid;
      pid_t pr_pid;           /* 24 */
      pid_t pr_ppid;
      pid_t pr_pgrp;
      pid_t pr_sid;
      char pr_fname[16];
      char pr_psargs[ELF_PRARGSZ];
    };
  `,
  defines: {
    EI_CLASS: 4,
    EI_DATA: 5,
    EI_VERSION: 6,
    EI_OSABI: 7,
    ELFMAG: 0x464c457f,
    ELFCLASS64: 2,
    ELFDATA2LSB: 1,
    EV_CURRENT: 1,
    ELFOSABI_NONE: 0,
    ET_CORE: 4,
    EM_X86_64: 62,
    PT_LOAD: 1,
    PT_NOTE: 4,
    PF_X: 1,
    PF_W: 2,
    PF_R: 4,
    NT_PRSTATUS: 1,
    NT_PRPSINFO: 3,
    ELF_PRARGSZ: 80,
  },
});
