/**
 * How many CPUs there are (arch/x86/kernel/mpparse.c): the firmware's table of Intel's MultiProcessor
 * Specification, found by its signature where a BIOS may have it.
 */
import {
  CONFIG_NR_CPUS,
  MPC_CPU_BOOTPROCESSOR,
  MPC_CPU_ENABLED,
  MPC_PROCESSOR,
} from "../../include/generated/constants";
import { mpc_cpu, mpc_table, mpf_intel } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { pr_err, pr_info, pr_warn } from "../../kernel/printk/printk";

/** "_MP_" and "PCMP", as words. */
const SMP_MAGIC_IDENT: u32 = 0x5f504d5f;
const MPC_SIGNATURE: u32 = 0x504d4350;
const BIOS_START: usize = 0xf0000;
const BIOS_LENGTH: usize = 0x10000;
/** The last KiB of base memory, where a BIOS without a ROM of its own puts it. */
const BASE_MEMORY_TOP: usize = 639 * 1024;
const PARAGRAPH: usize = 16;

function mpf_checksum(at: usize, length: usize): u8 {
  let sum: u32 = 0;
  for (let i: usize = 0; i < length; i++) sum += load<u8>(at + i);
  return <u8>sum;
}

/** The table's pointer structure in [base, base + length), or 0. */
function smp_scan_config(base: usize, length: usize): usize {
  for (let at = base; at < base + length; at += PARAGRAPH) {
    if (load<u32>(at) != SMP_MAGIC_IDENT) continue;
    const mpf = changetype<mpf_intel>(at);
    const version = mpf.specification;
    if (mpf.length == 1 && mpf_checksum(at, PARAGRAPH) == 0 && (version == 1 || version == 4)) {
      pr_info(c`found SMP MP-table at [mem %#010llx-%#010llx]\n`, at, at + mpf_intel.SIZE - 1);
      return at;
    }
  }
  return 0;
}

/** A CPU that the table lists: the boot CPU is number 0, the others are numbered as they come. */
function generic_processor_info(apicid: u32, boot: bool): void {
  if (!boot && sym.num_processors >= sym.nr_cpu_ids) {
    pr_warn(
      c`APIC: NR_CPUS/possible_cpus limit of %u reached. Processor %u/0x%x ignored.\n`, sym.nr_cpu_ids,
      sym.num_processors + sym.disabled_cpus, apicid,
    );
    sym.disabled_cpus += 1;
    return;
  }
  const cpu = boot ? 0 : sym.num_processors;
  if (boot) sym.boot_cpu_physical_apicid = apicid;
  sym.num_processors += 1;
  sym.x86_cpu_to_apicid_early_map[cpu] = <u16>apicid;
  sym.__cpu_possible_mask.bits[0] |= <u64>1 << cpu;
  sym.__cpu_present_mask.bits[0] |= <u64>1 << cpu;
}

/** Whether a configuration table is whole. */
function smp_check_mpc(mpc: mpc_table): bool {
  const at = changetype<usize>(mpc);
  if (load<u32>(at) != MPC_SIGNATURE) {
    pr_err(c`MPTABLE: bad signature [%08x]!\n`, load<u32>(at));
    return false;
  }
  if (mpf_checksum(at, mpc.length) != 0) {
    pr_err(c`MPTABLE: checksum error!\n`);
    return false;
  }
  return true;
}

/** Of the entries only the CPUs matter: there is no I/O APIC. */
function smp_read_mpc(mpc: mpc_table): void {
  if (!smp_check_mpc(mpc)) return;
  pr_info(c`MPTABLE: OEM ID: %.8s\n`, mpc.oem);
  pr_info(c`MPTABLE: Product ID: %.12s\n`, mpc.productid);
  pr_info(c`MPTABLE: APIC at: 0x%X\n`, mpc.lapic);
  const start = changetype<usize>(mpc) + mpc_table.SIZE;
  const end = changetype<usize>(mpc) + mpc.length;
  // The boot CPU first, wherever it stands: the per-CPU areas of the others are not there yet.
  for (let at = start; at + mpc_cpu.SIZE <= end && load<u8>(at) == MPC_PROCESSOR; at += mpc_cpu.SIZE) {
    const entry = changetype<mpc_cpu>(at);
    if (!(entry.cpuflag & MPC_CPU_ENABLED)) continue;
    generic_processor_info(entry.apicid, (entry.cpuflag & MPC_CPU_BOOTPROCESSOR) != 0);
  }
}

/** Reads the table; without one there is one CPU. Called before the per-CPU areas are made. */
export function get_smp_config(): void {
  let mpf = smp_scan_config(BASE_MEMORY_TOP, 1024);
  if (!mpf) mpf = smp_scan_config(BIOS_START, BIOS_LENGTH);
  if (!mpf) return;
  const table = changetype<mpf_intel>(mpf);
  pr_info(c`Intel MultiProcessor Specification v1.%d\n`, table.specification);
  smp_read_mpc(changetype<mpc_table>(<usize>table.physptr));
  pr_info(c`Processors: %d\n`, sym.num_processors);
}

/** Which CPUs there may be: nr_cpus= has limited them. */
export function prefill_possible_map(): void {
  if (sym.num_processors == 0) sym.num_processors = 1;
  sym.nr_cpu_ids = min<u32>(sym.num_processors, CONFIG_NR_CPUS);
  pr_info(c`smpboot: Allowing %d CPUs, %d hotplug CPUs\n`, sym.nr_cpu_ids, 0);
}
