/**
 * The program of a thread that packs (build/packer.js): crew.ts says what to do, for one file after another.
 */
import { hostCompressors } from "../../runtime/adapter/compressors.ts";
import { hostProc } from "../../runtime/adapter/index.ts";
import { threadPort } from "../../runtime/adapter/port.ts";
import { O_WRONLY } from "../../runtime/user/proc.ts";
import { FileBytes } from "../dump/bytes.ts";
import { Chain, ChainStopped } from "../dump/chain.ts";
import { useCodecsModule } from "../dump/codecs.ts";
import { pageCompressor } from "../dump/compress.ts";
import { erasing } from "../dump/erased.ts";
import type { KernelDump } from "../dump/memory-source.ts";
import { openDump } from "../dump/open.ts";
import { PageBitmap } from "../dump/page-bitmap.ts";
import { packPages } from "../dump/page-writer.ts";
import { DISCARD, FileSink } from "../dump/sink.ts";
import { type Task, toReply } from "./crew.ts";

const proc = hostProc(["makedumpfile"]);
/** All tasks are for the same one. */
let dump: Promise<KernelDump> | null = null;

async function open(inputs: readonly string[]): Promise<KernelDump> {
  return openDump(await Promise.all(inputs.map((path) => FileBytes.open(proc, path))));
}

async function perform({ work, inputs, output, erased, module }: Task): Promise<void> {
  const { plan, pages } = work;
  const chain = new Chain(work.chain);
  let fd: number | null = null;
  try {
    useCodecsModule(module);
    dump ??= open(inputs);
    const source = await dump;
    const compress = await pageCompressor(plan.codec, hostCompressors());
    if (compress === null) throw new Error(`no compressor for ${plan.codec}`);
    if (output !== null) fd = await proc.open(output, O_WRONLY);
    const sink = fd === null ? DISCARD : new FileSink(proc, fd);
    const read = erasing((physical, length, into) => source.read(physical, length, into), erased);
    await packPages(plan, chain, new PageBitmap(pages, new Uint8Array(work.dumped)), {
      read,
      compress,
      sink,
    });
  } catch (error) {
    chain.stop();
    // Who stopped it says why.
    if (!(error instanceof ChainStopped)) throw error;
  } finally {
    if (fd !== null) await proc.close(fd);
  }
}

const port = threadPort();
let before: Promise<void> = Promise.resolve();
port.onMessage((message) => {
  before = before
    .then(() => perform(message as Task))
    .then(
      () => port.post(null),
      (error) => port.post(toReply(error)),
    );
});
