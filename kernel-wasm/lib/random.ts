/**
 * Random numbers for the kernel (drivers/char/random.c's interface): a xoshiro128** generator per CPU, seeded
 * from the machine's random source. With a machine seed all of it is reproducible.
 */
import { this_cpu } from "../include/generated/symbols";

@external("hw", "rdrand") declare function hw_rdrand(): u32;

/** Draws the state from the machine; a state of zeros would stay zero. */
export function random_seed(): void {
  const state = this_cpu.random_state;
  for (let i = 0; i < 4; i++) state[i] = hw_rdrand();
  if (!(state[0] | state[1] | state[2] | state[3])) state[0] = 1;
}

/** Mixes fresh input into the state. */
export function add_hwgenerator_randomness(): void {
  const state = this_cpu.random_state;
  for (let i = 0; i < 4; i++) state[i] ^= hw_rdrand();
  if (!(state[0] | state[1] | state[2] | state[3])) state[0] = 1;
}

export function get_random_u32(): u32 {
  const state = this_cpu.random_state;
  if (!(state[0] | state[1] | state[2] | state[3])) random_seed();
  const s1 = state[1];
  const result = rotl<u32>(s1 * 5, 7) * 9;
  state[2] ^= state[0];
  state[3] ^= s1;
  state[1] = s1 ^ state[2];
  state[0] ^= state[3];
  state[2] ^= s1 << 9;
  state[3] = rotl<u32>(state[3], 11);
  return result;
}

/** Uniform in [0, ceiling). */
export function get_random_u32_below(ceiling: u32): u32 {
  return (((get_random_u32() as u64) * (ceiling as u64)) >> 32) as u32;
}
