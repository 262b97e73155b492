/**
 * Several CPUs: what the firmware says of them (Intel's MultiProcessor Specification 1.4), masks and numbers,
 * the page that a CPU begins at, calls from one CPU to another, and how they are stopped at a crash.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct mpf_intel {
      char signature[4];
      unsigned int physptr;
      unsigned char length;           /* in paragraphs */
      unsigned char specification;
      unsigned char checksum;
      unsigned char feature1;
      unsigned char feature2;
      unsigned char feature3;
      unsigned char feature4;
      unsigned char feature5;
    };
    struct mpc_table {
      char signature[4];
      unsigned short length;
      char spec;
      char checksum;
      char oem[8];
      char productid[12];
      unsigned int oemptr;
      unsigned short oemsize;
      unsigned short oemcount;
      unsigned int lapic;
      unsigned int reserved;
    };
    struct mpc_cpu {
      unsigned char type;
      unsigned char apicid;
      unsigned char apicver;
      unsigned char cpuflag;
      unsigned int cpufeature;
      unsigned int featureflag;
      unsigned int reserved[2];
    };
    /* What the hardware reads at the page of a startup IPI: the image and the stack to begin with. */
    struct trampoline_header { u64 start; u64 stack; };
    typedef struct __call_single_data {
      void (*func)(void *info);
      void *info;
    } call_single_data_t;
  `,
  data: `
    atomic_t stopping_cpu;
  `,
  init: { stopping_cpu: -1 },
  bss: `
    unsigned int num_processors;
    unsigned int disabled_cpus;
    unsigned int boot_cpu_physical_apicid;
    u16 x86_cpu_to_apicid_early_map[CONFIG_NR_CPUS];
    /* The number of the CPU that is being started. */
    unsigned int smpboot_control;
    struct cpumask cpu_callin_mask;
    struct trampoline_header *trampoline_header;
    atomic_t waiting_for_crash_ipi;
    int crash_ipi_issued;
    int cpus_stopped;
    struct nmiaction crash_nmi_callback_na;
    struct nmiaction smp_stop_nmi_action;
  `,
  percpu: `
    u16 x86_cpu_to_apicid;
    /* The call that this CPU has asked for, and a bit for each CPU that has not answered. */
    call_single_data_t csd_data;
    unsigned long csd_pending;
  `,
  defines: {
    MPC_PROCESSOR: 0,
    MPC_CPU_ENABLED: 1,
    MPC_CPU_BOOTPROCESSOR: 2,
    MPC_LAPIC: 0xfee00000,
    APIC_DM_FIXED: 0,
    APIC_DM_INIT: 0x500,
    APIC_DM_STARTUP: 0x600,
    APIC_DEST_ALLBUT: 0xc0000,
    CALL_FUNCTION_VECTOR: 0xfc,
    REBOOT_VECTOR: 0xf8,
    NMI_VECTOR: 2,
  },
  backtrace: [
    "start_secondary",
    "crash_nmi_callback",
    "kdump_nmi_callback",
    "sysvec_reboot",
    "stop_this_cpu",
    "sysvec_call_function",
    "flush_smp_call_function_queue",
    "native_queued_spin_lock_slowpath",
    "mutex_optimistic_spin",
    "nmi_shootdown_cpus",
    "smp_call_function_many_cond",
    "do_boot_cpu",
  ],
  entry: ["secondary_startup_64", "asm_sysvec_reboot", "asm_sysvec_call_function"],
  targets: ["production"],
});
