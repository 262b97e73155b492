/**
 * Run by each engine: boots the images of a directory (NAME.image, with NAME.initrd as the initrd) with
 * seed 1 and prints what came of them as JSON. Arguments: the directory of images, the directory for their
 * files.
 */

import { readdirSync, readFileSync } from "node:fs";
import { currentHost, openDirectory } from "../../runtime/adapter/index.ts";
import { boot, hashRanges } from "../../runtime/index.ts";
import type { Program } from "../../runtime/user/proc.ts";

export interface EngineRun {
  console: string;
  outcome: string;
  reason: string;
  /** SHA-256 of all memory at the end. */
  memory: string;
  /** SHA-256 of each dump. */
  vmcores: string[];
}

const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

const greet: Program = async (proc) => {
  await proc.write(1, `hello from ${proc.argv.join(" ")}\n`);
  return (await proc.time()) & 1;
};

const [images, out] = process.argv.slice(2) as [string, string];
const host = currentHost();
const runs: Record<string, EngineRun> = {};
for (const file of readdirSync(images).sort()) {
  if (!file.endsWith(".image")) continue;
  const name = file.slice(0, -".image".length);
  const hostfs = openDirectory(`${out}/${name}`);
  let console = "";
  const result = await boot({
    image: readFileSync(`${images}/${file}`),
    initrd: readFileSync(`${images}/${name}.initrd`),
    memory: 4 << 20,
    cmdline: "quiet",
    seed: 1,
    powerOnFill: "random",
    console: (bytes) => {
      console += new TextDecoder().decode(bytes);
    },
    hostfs,
    host,
    programs: { test: greet },
  });
  const { outcome, reason, machine, vmcores } = result;
  const memory = hex(hashRanges(machine.memory, host, [{ start: 0, length: machine.memory.size }]));
  runs[name] = {
    console,
    outcome,
    reason,
    memory,
    vmcores: vmcores.map((path) => hex(host.sha256(hostfs.read(path)))),
  };
}
process.stdout.write(`${JSON.stringify({ engine: host.engine, runs })}\n`);
