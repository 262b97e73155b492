/**
 * Runs a function as the init program of the built production kernel, for tests of system calls and tasks:
 * power-on, `program` with the machine's Proc, power-off. What it throws fails the test.
 */
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { currentHost, MemoryFs } from "../../runtime/adapter/index.ts";
import { type BootResult, boot, type Machine } from "../../runtime/index.ts";
import type { Proc, Program } from "../../runtime/user/proc.ts";
import { makeCpio } from "../../tools/initrd/cpio.ts";
import { built } from "./boot.ts";

const LINUX_REBOOT_CMD_POWER_OFF = 0x4321fedc;

export interface KernelRun {
  result: BootResult;
  /** Everything on the serial console. */
  console: string;
}

export interface KernelRunOptions {
  seed?: number;
  memory?: number;
  cpus?: number;
  files?: Record<string, { mode: number; contents: Uint8Array | string }>;
  /** Another kernel than the built one. */
  image?: Uint8Array;
  /** Replaces the whole archive. */
  initrd?: Uint8Array;
  cmdline?: string;
  /** Milliseconds of the machine's time before it is stopped. */
  limit?: number;
  /** Further programs, by the name in their file. */
  programs?: Record<string, Program>;
}

export async function runInKernel(
  program: (proc: Proc, machine: Machine) => Promise<void>,
  options: KernelRunOptions = {},
): Promise<KernelRun> {
  const output: Uint8Array[] = [];
  let failure: unknown;
  let machine: Machine | undefined;
  const init = { mode: 0o755, contents: "#!program init\n" };
  const result = await boot({
    image: options.image ?? new Uint8Array(readFileSync(built("vmlinuz"))),
    initrd: options.initrd ?? makeCpio({ "/init": init, ...options.files }),
    memory: options.memory ?? 16 << 20,
    cpus: options.cpus ?? 1,
    cpuProgram: pathToFileURL(built("cpu.js")),
    cmdline: options.cmdline ?? "console=ttyS0",
    seed: options.seed ?? 1,
    ...(options.limit === undefined ? {} : { limit: options.limit }),
    powerOnFill: "random",
    console: (bytes) => {
      output.push(bytes.slice());
    },
    onPhase: (_phase, running) => {
      machine = running;
    },
    hostfs: new MemoryFs(),
    host: currentHost(),
    programs: {
      ...options.programs,
      init: async (proc: Proc) => {
        try {
          await program(proc, machine as Machine);
        } catch (error) {
          failure = error;
        }
        await proc.reboot(LINUX_REBOOT_CMD_POWER_OFF);
        return 0;
      },
    },
  });
  if (failure !== undefined) throw failure;
  return { result, console: Buffer.concat(output).toString("latin1") };
}

/** A file's whole text, read in small pieces. */
export async function readText(proc: Proc, path: string, piece = 1000): Promise<string> {
  const fd = await proc.open(path, 0);
  const buffer = new Uint8Array(piece);
  let text = "";
  for (;;) {
    const n = await proc.read(fd, buffer);
    if (n === 0) break;
    text += new TextDecoder("latin1").decode(buffer.slice(0, n));
  }
  await proc.close(fd);
  return text;
}
