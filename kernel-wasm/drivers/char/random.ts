/** The random driver's part of the boot: the pool is seeded early, and said to be ready when it has been fed again. */
import { pr_notice } from "../../kernel/printk/printk";
import { add_hwgenerator_randomness, random_seed } from "../../lib/random";

/** From start_kernel: get_random_u32() works from here on. */
export function random_init(): void {
  random_seed();
}

/** The driver's probe, an asynchronous one. */
export function random_probe(data: usize, cookie: u64): void {
  add_hwgenerator_randomness();
  pr_notice(c`random: crng init done\n`);
}
