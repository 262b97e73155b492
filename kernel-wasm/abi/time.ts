/**
 * Time: the timekeeper (shadow_timekeeper is what crash reads DATE from), jiffies, and the real-time clock's
 * state. The machine's counter is in nanoseconds since power-on, so cycles and nanoseconds are one: mult 1,
 * shift 0.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct clocksource {
      u64 (*read)(struct clocksource *cs);
      u64 mask;
      u32 mult;
      u32 shift;
      u64 max_idle_ns;
      int rating;
      const char *name;
      struct list_head list;
      unsigned long flags;
    };
    struct tk_read_base {
      struct clocksource *clock;
      u64 mask;
      u64 cycle_last;
      u32 mult;
      u32 shift;
      u64 xtime_nsec;
      ktime_t base;
      u64 base_real;
    };
    struct timekeeper {
      struct tk_read_base tkr_mono;
      struct tk_read_base tkr_raw;
      u64 xtime_sec;
      unsigned long ktime_sec;
      struct timespec64 wall_to_monotonic;
      ktime_t offs_real;
      ktime_t offs_boot;
      ktime_t offs_tai;
      s32 tai_offset;
      unsigned int clock_was_set_seq;
      u8 cs_was_changed_seq;
      ktime_t next_leap_ktime;
      u64 raw_sec;
      struct timespec64 monotonic_to_boot;
      u64 cycle_interval;
      u64 xtime_interval;
      s64 xtime_remainder;
      u64 raw_interval;
      u64 ntp_tick;
      s64 ntp_error;
      u32 ntp_error_shift;
      u32 ntp_err_mult;
      u32 skip_second_overflow;
    };
    struct tk_core { u32 seq; struct timekeeper timekeeper; };
  `,
  data: `
    u64 jiffies_64 __aligned(64);
    unsigned int cpu_khz;
    unsigned int tsc_khz;
  `,
  bss: `
    struct tk_core tk_core __aligned(64);
    struct timekeeper shadow_timekeeper;
    struct clocksource clocksource_tsc;
    u64 last_jiffies_update;
    raw_spinlock_t jiffies_lock;
    u64 rtc_time_read;
    u64 rtc_ready;
    u64 hwrng_ready;
    u64 uart_ready;
  `,
  percpu: `
    u64 tsc_read;
    u32 random_state[4];
  `,
  aliases: { jiffies: "jiffies_64" },
  init: {
    jiffies_64: 0xfffb6c20n,
    cpu_khz: 1000000,
    tsc_khz: 1000000,
  },
  defines: {
    HZ: "CONFIG_HZ",
    NSEC_PER_SEC: 1000000000,
    NSEC_PER_MSEC: 1000000,
    NSEC_PER_USEC: 1000,
    MSEC_PER_SEC: 1000,
    TICK_NSEC: "NSEC_PER_SEC / CONFIG_HZ",
  },
  backtrace: [],
  entry: ["asm_interrupt"],
});
