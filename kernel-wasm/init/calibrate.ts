/** calibrate_delay() (init/calibrate.c): the counter's rate is exact, so nothing is measured. */
import { CONFIG_HZ, TICK_NSEC } from "../include/generated/constants";
import { sym } from "../include/generated/symbols";
import { pr_cont, pr_info } from "../kernel/printk/printk";

export function calibrate_delay(): void {
  const lpj: u64 = TICK_NSEC;
  sym.loops_per_jiffy = lpj;
  pr_info(c`Calibrating delay loop (skipped), value calculated using timer frequency.. `);
  pr_cont(
    c`%lu.%02lu BogoMIPS (lpj=%lu)\n`, lpj / (500000 / CONFIG_HZ), (lpj / (5000 / CONFIG_HZ)) % 100, lpj,
  );
}
