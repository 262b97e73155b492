/**
 * A crash in small: a production kernel that puts a purgatory and a capture kernel into a region at 2 MiB
 * and jumps, as machine_kexec does. The two images come as its initrd.
 */

import type { BootOptions } from "../../runtime/index.ts";
import { type Run, run } from "../machine/run.ts";
import { testImage } from "../machine/test-image.ts";

export const PURGATORY_AT = 0x200000;
export const CAPTURE_AT = 0x280000;
export const CAPTURE_ARG = 0x2f0000;

export const PRODUCTION = `
export function startup_64(params: usize): void {
  const initrd = <usize>load<u32>(params + 0x218);
  const size = load<u32>(params + 0x21c);
  const first = load<u32>(initrd);
  memory.copy(${PURGATORY_AT}, initrd + 8, first);
  memory.copy(${CAPTURE_AT}, initrd + 8 + first, size - 8 - first);
  store<u32>(0x5000, 0x77777777);
  store<u32>(0x180000, 0x66666666);
  rdtsc(0x190000);
  store<u32>(0x190008, rdrand());
  say("crash\\n");
  jump(${PURGATORY_AT}, 0);
}`;

/** Saves the first bytes of low memory, as the backup region would, then hands over. */
export const PURGATORY = `
export function purgatory(): void {
  store<u32>(0x2f8000, load<u32>(0x5000));
  say("purg "); hex(__base - ${PURGATORY_AT}); newline();
  jump(${CAPTURE_AT}, ${CAPTURE_ARG});
}`;

/**
 * Prints what a capture kernel sees, writes "vmcore" with a word of memory, low memory's copy and a time;
 * powers off.
 */
export const CAPTURE = `
const REQ: usize = 0x2f4000, NAME: usize = 0x2f4100, NAME2: usize = 0x2f4200;
const EXT: usize = 0x2f4300, OUT: usize = 0x2f4400;
function request(op: u32, flags: u32): i32 {
  store<u32>(REQ, op); store<u32>(REQ + 12, flags);
  store<u64>(REQ + 32, NAME); store<u64>(REQ + 40, NAME2); store<u64>(REQ + 48, EXT); store<u32>(REQ + 56, 1);
  return hostfs(REQ);
}
export function startup_64(params: usize): void {
  say("capt "); hex(params); say(" "); hex(__phys_base); say(" ");
  hex(load<u32>(0x5000) == 0x77777777 ? 1 : 0); newline();
  store<u64>(NAME, 0x706d742e61);   // "a.tmp"
  store<u64>(NAME2, 0x65726f636d76); // "vmcore"
  store<u32>(OUT, load<u32>(0x180000)); store<u32>(OUT + 4, load<u32>(0x2f8000));
  rdtsc(OUT + 8); store<u32>(OUT + 16, rdrand()); rtc(OUT + 24);
  store<u64>(EXT, OUT); store<u64>(EXT + 8, 32);
  if (request(1, 0o301) < 0) { say("open\\n"); reset(); }
  store<u64>(REQ + 16, 0);
  request(3, 0);
  request(5, 0);
  request(2, 0);
  if (request(6, 1) < 0) { say("rename\\n"); reset(); }
  power_off();
}`;

export interface Crash {
  production?: string;
  purgatory?: string;
  capture?: string;
  /** Changes the images' bytes on their way into memory. */
  damage?(purgatory: Uint8Array, capture: Uint8Array): void;
}

/** The initrd that PRODUCTION takes its images from. */
export async function crashInitrd(
  purgatorySource: string,
  captureSource: string,
  damage?: Crash["damage"],
): Promise<Uint8Array> {
  const purgatory = await testImage(purgatorySource, { type: "purgatory" });
  const capture = await testImage(captureSource);
  damage?.(purgatory, capture);
  const initrd = new Uint8Array(8 + purgatory.length + capture.length);
  new DataView(initrd.buffer).setUint32(0, purgatory.length, true);
  initrd.set(purgatory, 8);
  initrd.set(capture, 8 + purgatory.length);
  return initrd;
}

export async function crash(sources: Crash = {}, options: Partial<BootOptions> = {}): Promise<Run> {
  const initrd = await crashInitrd(
    sources.purgatory ?? PURGATORY,
    sources.capture ?? CAPTURE,
    sources.damage,
  );
  return run(sources.production ?? PRODUCTION, { initrd, ...options });
}
