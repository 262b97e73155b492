/**
 * The program of a collector's thread (build/collector.js): makes a component into something that runs, and
 * gives it the functions of its world, which ask the main thread, and no others.
 */
import { hostCompressors } from "../../runtime/adapter/compressors.ts";
import { threadPort } from "../../runtime/adapter/port.ts";
import { BATCH_SIZE, type Codec, newCodecs, type PageCodecs } from "../dump/codecs.ts";
import { PAGE_DESC } from "../dump/kdump-header.ts";
import { PAGE_SIZE_MAX, PAGE_SIZE_MIN } from "../dump/vmcoreinfo.ts";
import type * as Bindgen from "./bindgen.ts";
import { checkWorld } from "./check.ts";
import { CollectorError, lineOf } from "./error.ts";
import { limitMemory } from "./limits.ts";
import { Channel, type Description, END, type Job, type Letter, OP, PIECE, STATE, WORD } from "./protocol.ts";

type Result<T> = { tag: "ok"; val: T } | { tag: "err"; val: string };

interface Collector {
  run(args: readonly string[]): string;
}

type Instantiate = (
  getCoreModule: (name: string) => Promise<WebAssembly.Module>,
  imports: Record<string, Record<string, unknown>>,
) => Promise<Collector>;

/** What is ready to be instantiated. */
interface Prepared {
  instantiate: Instantiate;
  modules: ReadonlyMap<string, WebAssembly.Module>;
}

async function prepare({ component, bindgen, memory }: Job): Promise<Prepared> {
  const { transpile } = (await import(bindgen)) as typeof Bindgen;
  let transpiled: Bindgen.Transpiled;
  try {
    transpiled = await transpile(component);
  } catch (error) {
    const { payload } = error as { payload?: unknown };
    throw new CollectorError(`the transpiler does not take it: ${lineOf(String(payload ?? error))}`);
  }
  checkWorld(transpiled);
  const modules = new Map<string, WebAssembly.Module>();
  for (const [name, bytes] of limitMemory(transpiled.modules, memory)) {
    try {
      modules.set(name, await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>));
    } catch (error) {
      throw new CollectorError(`this engine does not take its code: ${lineOf((error as Error).message)}`);
    }
  }
  return { instantiate: evaluate(transpiled.source), modules };
}

/**
 * An ES module of one export as a function: not every engine imports a module from memory. What it would ask
 * the host is nothing here: where it lies, and whether JCO_DEBUG is in the environment.
 */
function evaluate(source: string): Instantiate {
  const body = source
    .replace(/^export /gm, "")
    .replaceAll("import.meta.url", "undefined")
    .replaceAll("globalThis?.process?.env?.JCO_DEBUG", "false");
  return new Function(`${body}\nreturn instantiate;`)() as Instantiate;
}

/** The functions of the world. */
function world(
  channel: Channel,
  description: Description,
  codecs: PageCodecs,
): Record<string, Record<string, unknown>> {
  const { words, bytes } = channel;
  const ask = (op: number): Result<Uint8Array> => {
    channel.put(WORD.op, op);
    Atomics.store(words, WORD.state, STATE.asks);
    Atomics.notify(words, WORD.state);
    while (Atomics.load(words, WORD.state) === STATE.asks) Atomics.wait(words, WORD.state, STATE.asks);
    const length = channel.get(WORD.length);
    if (channel.get(WORD.error) !== 0) return { tag: "err", val: channel.text(length) };
    return { tag: "ok", val: bytes.slice(0, length) };
  };
  const read = (op: number, address: bigint, length: number): Result<Uint8Array> => {
    channel.put64(WORD.a, address);
    channel.put(WORD.b, length);
    return ask(op);
  };
  return {
    "wkdump:collector/dump": {
      describe: () => description,
      readPhysical: (address: bigint, length: number) => read(OP.readPhysical, address, length),
      readVirtual: (address: bigint, length: number) => read(OP.readVirtual, address, length),
      readPages: (pages: BigUint64Array) => {
        if (pages.byteLength > PIECE) return { tag: "err", val: "more pages than 1 MiB has" };
        channel.put(WORD.a, pages.length);
        bytes.set(new Uint8Array(pages.buffer, pages.byteOffset, pages.byteLength));
        return ask(OP.readPages);
      },
      pageStates: (level: number, first: bigint, count: number) => {
        channel.put64(WORD.a, first);
        channel.put(WORD.b, count);
        channel.put(WORD.c, level);
        return ask(OP.pageStates);
      },
    },
    "wkdump:collector/output": {
      write: (offset: bigint, data: Uint8Array) => {
        for (let at = 0; at < data.length; at += PIECE) {
          const piece = data.subarray(at, at + PIECE);
          channel.put64(WORD.a, BigInt.asUintN(64, offset + BigInt(at)));
          channel.put(WORD.b, piece.length);
          bytes.set(piece);
          const written = ask(OP.write);
          if (written.tag === "err") return written;
        }
        return { tag: "ok", val: undefined };
      },
      progress: (done: bigint, total: bigint) => {
        channel.put64(WORD.a, done);
        channel.put64(WORD.b, total);
        ask(OP.progress);
      },
    },
    "wkdump:collector/codecs": {
      compress: (codec: Codec, pages: Uint8Array, pageSize: number) =>
        compressPages(codecs, codec, pages, pageSize),
    },
  };
}

interface Packed {
  sizes: Uint32Array;
  bytes: Uint8Array;
}

/** In this thread: compressing asks nobody. */
function compressPages(
  codecs: PageCodecs,
  codec: Codec,
  pages: Uint8Array,
  pageSize: number,
): Result<Packed> {
  const by = codec === "zstd" ? hostCompressors().zstd : codec;
  if (by === undefined) return { tag: "err", val: `This engine has no ${codec} to compress with.` };
  const isSize = pageSize >= PAGE_SIZE_MIN && pageSize <= PAGE_SIZE_MAX && pageSize % PAGE_SIZE_MIN === 0;
  if (!isSize || pages.length % pageSize !== 0 || pages.length > BATCH_SIZE) {
    return { tag: "err", val: `${pages.length} bytes are no pages of ${pageSize}, or more than 1 MiB` };
  }
  const sizes = new Uint32Array(pages.length / pageSize);
  codecs.pages.set(pages);
  const bytes = codecs.compress(by, sizes.length, pageSize, false).slice();
  const descriptors = codecs.descriptors(codec, sizes.length, pageSize, 0, 0).bytes;
  const view = new DataView(descriptors.buffer, descriptors.byteOffset);
  for (let n = 0; n < sizes.length; n++) {
    sizes[n] = view.getUint32(n * PAGE_DESC.size + PAGE_DESC.bytes[0], true);
  }
  return { tag: "ok", val: { sizes, bytes } };
}

/** Runs it; how it ended, and what it says. */
async function run(
  job: NonNullable<Job["run"]>,
  { instantiate, modules }: Prepared,
): Promise<[number, string]> {
  const channel = new Channel(job.shared);
  try {
    const collector = await instantiate(
      async (name) => modules.get(name)!,
      world(channel, job.description, await newCodecs()),
    );
    return [END.done, collector.run(job.args)];
  } catch (error) {
    const { payload, message } = error as { payload?: unknown; message?: unknown };
    if (typeof payload === "string") return [END.error, payload];
    return [END.trap, String(message ?? error)];
  }
}

async function work(job: Job, post: (letter: Letter) => void): Promise<void> {
  let prepared: Prepared;
  try {
    prepared = await prepare(job);
  } catch (error) {
    if (!(error instanceof CollectorError)) throw error;
    post({ op: "wrong", text: error.message });
    return;
  }
  post({ op: "ready" });
  if (job.run === null) return;
  const [end, text] = await run(job.run, prepared);
  const channel = new Channel(job.run.shared);
  channel.put(WORD.error, end);
  channel.put(WORD.length, channel.putText(text));
  Atomics.store(channel.words, WORD.state, STATE.ended);
  Atomics.notify(channel.words, WORD.state);
}

const port = threadPort();
port.onMessage((message) => void work(message as Job, (letter) => port.post(letter)));
