/** Runs a test kernel, with what it printed and the files it left. */

import { currentHost, MemoryFs } from "../../runtime/adapter/index.ts";
import { type BootOptions, type BootResult, boot } from "../../runtime/index.ts";
import { testImage } from "./test-image.ts";

export const MiB = 1024 * 1024;

export interface Run extends BootResult {
  console: string;
  hostfs: MemoryFs;
}

/** Boots `source` (see test-image.ts) in 4 MiB with seed 1, unless `options` say otherwise. */
export async function run(source: string, options: Partial<BootOptions> = {}): Promise<Run> {
  const hostfs = new MemoryFs();
  let text = "";
  const result = await boot({
    image: options.image ?? (await testImage(source)),
    initrd: new Uint8Array(0),
    memory: 4 * MiB,
    cmdline: "",
    seed: 1,
    console: (bytes) => {
      text += new TextDecoder().decode(bytes);
    },
    hostfs,
    host: currentHost(),
    programs: {},
    ...options,
  });
  return { ...result, console: text, hostfs };
}
