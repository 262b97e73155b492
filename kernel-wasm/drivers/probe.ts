/**
 * Waiting in a driver's probe for its device, as drivers do with udelay and polling, but leaving the CPU to
 * others: the probes of a boot overlap, and which is done first is up to the clock.
 */
import { do_sched_yield } from "../kernel/sched/core";
import { ktime_get } from "../kernel/time";
import { get_random_u32_below } from "../lib/random";

/**
 * Returns when something between `least_ns` and `most_ns` have passed since the first call with this deadline
 * (the address of a u64, 0 before). As with usleep_range, where in the range is left to chance: the machine's
 * random source decides. The caller's work function starts over after each yield.
 */
export function wait_for_device(deadline: usize, least_ns: u32, most_ns: u32): void {
  if (load<u64>(deadline) == 0) {
    store<u64>(deadline, ktime_get() + least_ns + get_random_u32_below(most_ns - least_ns));
  }
  while (ktime_get() < load<u64>(deadline)) do_sched_yield();
}
