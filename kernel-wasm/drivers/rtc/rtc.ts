/**
 * The real-time clock: the wall clock at boot, and again when panic stamps the crash (drivers/rtc, rtc_cmos).
 */
import { CONFIG_CRASH_DUMP, IRQ_HANDLED, RTC_IRQ } from "../../include/generated/constants";
import { sym } from "../../include/generated/symbols";
import { request_irq } from "../../kernel/irq/irqdesc";
import { pr_info } from "../../kernel/printk/printk";
import { wait_for_device } from "../probe";

@external("hw", "rtc") declare function hw_rtc(pa: usize): void;

/** While its update is in progress, the clock must not be read. */
const SETTLE_MIN_NS: u32 = 10000;
const SETTLE_MAX_NS: u32 = 30000;
const SECONDS_A_DAY: u64 = 86400;

/** Seconds since 1970, UTC. */
export function read_persistent_clock64(): u64 {
  hw_rtc(sym.addr_of_rtc_time_read());
  return sym.rtc_time_read;
}

/** An alarm or the periodic interrupt: nobody has asked for one, so it is only acknowledged. */
export function cmos_interrupt(irq: i32, dev_id: usize): i32 {
  return IRQ_HANDLED;
}

/** The driver's probe, an asynchronous one: sets the system time as Linux's log shows it. */
export function rtc_cmos_probe(data: usize, cookie: u64): void {
  wait_for_device(sym.addr_of_rtc_ready(), SETTLE_MIN_NS, SETTLE_MAX_NS);
  const now = read_persistent_clock64();
  // Days to a civil date (Gregorian): years begin in March, eras have 400 of them.
  const z = now / SECONDS_A_DAY + 719468;
  const era = z / 146097;
  const day_of_era = z % 146097;
  const year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const shifted = (5 * day_of_year + 2) / 153;
  const day = day_of_year - (153 * shifted + 2) / 5 + 1;
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  const year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  const second = now % SECONDS_A_DAY;
  const device = sym.addr_of_rtc_time_read();
  if (!CONFIG_CRASH_DUMP) request_irq(RTC_IRQ, fnptr(cmos_interrupt), 0, c`rtc0`, device);
  pr_info(c`rtc_cmos rtc_cmos: registered as rtc0\n`);
  pr_info(
    c`rtc_cmos rtc_cmos: setting system clock to %04llu-%02llu-%02lluT%02llu:%02llu:%02llu UTC (%lld)\n`,
    year, month, day, second / 3600, (second / 60) % 60, second % 60, now,
  );
}
