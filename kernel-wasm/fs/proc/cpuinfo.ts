/** /proc/cpuinfo (arch/x86/kernel/cpu/proc.c): what the kernel knows of its processors. */
import { CONFIG_HZ } from "../../include/generated/constants";
import { seq_file } from "../../include/generated/structs";
import { sym } from "../../include/generated/symbols";
import { seq_printf } from "../seq_file";

export function cpuinfo_proc_show(m: seq_file, v: usize): i32 {
  const c = sym.boot_cpu_data;
  for (let cpu: u32 = 0; cpu < <u32>sym.nr_cpu_ids; cpu++) {
    if (((sym.__cpu_online_mask.bits[0] >> cpu) & 1) == 0) continue;
    seq_printf(
      m, c`processor\t: %u\nvendor_id\t: %s\ncpu family\t: %d\nmodel\t\t: %u\nmodel name\t: %s\n`, cpu,
      c.x86_vendor_id, c.x86, c.x86_model, c.x86_model_id,
    );
    seq_printf(
      m, c`stepping\t: unknown\ncpu MHz\t\t: %u.%03u\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: %u\n`,
      <u32>sym.cpu_khz / 1000, <u32>sym.cpu_khz % 1000, cpu,
    );
    const lpj = sym.loops_per_jiffy;
    seq_printf(
      m, c`bogomips\t: %lu.%02lu\nclflush size\t: %u\ncache_alignment\t: %d\n`, lpj / (500000 / CONFIG_HZ),
      (lpj / (5000 / CONFIG_HZ)) % 100, c.x86_clflush_size, c.x86_cache_alignment,
    );
    seq_printf(
      m, c`address sizes\t: %u bits physical, %u bits virtual\npower management:\n\n`, c.x86_phys_bits,
      c.x86_virt_bits,
    );
  }
  return 0;
}
