/**
 * The random driver's part of the boot: the pool is seeded early, and said to be ready when it has been fed
 * again.
 */
import { sym } from "../../include/generated/symbols";
import { pr_notice } from "../../kernel/printk/printk";
import { add_hwgenerator_randomness, random_seed } from "../../lib/random";
import { wait_for_device } from "../probe";

/** The source gathers noise before its words are good. */
const SETTLE_MIN_NS: u32 = 10000;
const SETTLE_MAX_NS: u32 = 30000;

/** From start_kernel: get_random_u32() works from here on. */
export function random_init(): void {
  random_seed();
}

/** The driver's probe, an asynchronous one. */
export function random_probe(data: usize, cookie: u64): void {
  wait_for_device(sym.addr_of_hwrng_ready(), SETTLE_MIN_NS, SETTLE_MAX_NS);
  add_hwgenerator_randomness();
  pr_notice(c`random: crng init done\n`);
}
