/**
 * A collector on files: those of the host, or of the machine in whose capture environment it is the
 * core_collector.
 */
import { currentHost } from "../../runtime/adapter/index.ts";
import { type BesideProgram, besideProgram } from "../../runtime/adapter/terminal.ts";
import { O_CREAT, O_EXCL, O_WRONLY, type Proc } from "../../runtime/user/proc.ts";
import { FileBytes, readExactly } from "../dump/bytes.ts";
import { openDump } from "../dump/open.ts";
import { FileSink } from "../dump/sink.ts";
import { kindOf, PREAMBLE_SIZE } from "./binary.ts";
import { COMPONENT_MAX } from "./check.ts";
import {
  type CollectorPrograms,
  type Limits,
  MEMORY_LIMIT,
  outputLimit,
  type Run,
  runCollector,
  TIME_LIMIT_s,
} from "./run.ts";

/** What a collector's thread needs of build/. */
export const COLLECTOR_ASSETS = [
  "collector.js",
  "bindgen.js",
  "bindgen.core.wasm",
  "bindgen.core2.wasm",
] as const;

export const collectorPrograms = (beside: BesideProgram = besideProgram): CollectorPrograms => ({
  thread: beside.assetUrl("collector.js"),
  bindgen: beside.assetUrl("bindgen.js"),
});

export interface Collection {
  /** Paths: the component, the dump, and the file that it makes, which must not exist. */
  collector: string;
  vmcore: string;
  output: string;
  args: readonly string[];
  /** What is not given is the usual. */
  limits?: Partial<Limits>;
  progress?: Run["progress"];
}

/** Whether the file is WebAssembly, by its first bytes: a component, or what somebody took for one. */
export async function isWebAssembly(proc: Proc, path: string): Promise<boolean> {
  return kindOf(await readFile(proc, path, PREAMBLE_SIZE)) !== "other";
}

/** A file's bytes, `most` of them at most. */
export async function readFile(proc: Proc, path: string, most: number): Promise<Uint8Array> {
  const file = await FileBytes.open(proc, path);
  try {
    return await readExactly(file, 0, Math.min(file.size, most), "the file");
  } finally {
    await file.close();
  }
}

/**
 * Runs the collector; what it says at its end. Throws CollectorError, DumpError and SyscallError; the output
 * is then what was written until then.
 */
export async function collect(proc: Proc, what: Collection): Promise<string> {
  const component = await readFile(proc, what.collector, COMPONENT_MAX + 1);
  const source = await FileBytes.open(proc, what.vmcore);
  try {
    const dump = await openDump([source]);
    const limits: Limits = {
      time_s: what.limits?.time_s ?? TIME_LIMIT_s,
      memory: what.limits?.memory ?? MEMORY_LIMIT,
      output: what.limits?.output ?? (await outputLimit(dump)),
    };
    const fd = await proc.open(what.output, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    try {
      return await runCollector(currentHost(), collectorPrograms(), {
        component,
        args: what.args,
        dump,
        sink: new FileSink(proc, fd),
        limits,
        progress: what.progress ?? (async () => {}),
      });
    } finally {
      await proc.close(fd);
    }
  } finally {
    await source.close();
  }
}
