/**
 * What the link tests share: AssemblyScript sources compiled by asc, linked into an image, and the image
 * running over a memory of its own, with a reader of the frame records on its stack.
 */
import { createHash } from "node:crypto";
import asc from "assemblyscript/asc";
import { type LinkInput, type LinkOutput, link } from "../../runtime/link/index.ts";

export const sha256 = (bytes: Uint8Array): Uint8Array =>
  new Uint8Array(createHash("sha256").update(bytes).digest());

/** Declarations that most sources begin with. */
export const PRELUDE = `
@external("env", "__base") declare const __base: usize;
@external("hw", "out8") declare function out8(port: i32, value: i32): void;
@external("hw", "in8") declare function in8(port: i32): i32;
@external("link", "get_sp") declare function get_sp(): i32;
@external("link", "set_sp") declare function set_sp(sp: i32): void;
@external("link", "get_cpu") declare function get_cpu(): i32;
@external("link", "set_cpu") declare function set_cpu(cpu: i32): void;
@external("link", "text_address") declare function text_address(f: usize): u64;
`;

export interface Compiled {
  wasm: Uint8Array;
  sourceMap: string;
}

/** Given to asc as a class: only then it gets asc's own binaryen. */
class KeepCalls {
  declare binaryen: { setPassArgument(name: string, value: string): void };
  afterCompile(module: { runPasses(passes: string[]): void }): void {
    this.binaryen.setPassArgument("no-inline", "*");
    module.runPasses(["no-inline"]);
  }
}

/** Compiles one file, `kernel/t.ts`. Nothing is inlined unless `inline`. */
export async function compile(source: string, args = ["-O3"], inline = false): Promise<Compiled> {
  const out = new Map<string, string | Uint8Array>();
  const options = [
    "kernel/t.ts --outFile t.wasm --sourceMap --debug --importMemory --sharedMemory --initialMemory 1",
    "--maximumMemory 65536 --runtime stub --noExportMemory --enable threads,simd,bulk-memory",
    "--uncheckedBehavior always --noAssert --zeroFilledMemory --exportTable --disableWarning",
  ];
  const result = await asc.main([...options.join(" ").split(" "), ...args], {
    readFile: (name: string) => (name === "kernel/t.ts" ? source : null),
    writeFile: (name: string, contents: string | Uint8Array) => void out.set(name, contents),
    listFiles: () => [],
    transforms: inline ? [] : [KeepCalls],
  } as unknown as Parameters<typeof asc.main>[1]);
  if (result.error) throw new Error(`${result.error.message}\n${result.stderr.toString()}`);
  return { wasm: out.get("t.wasm") as Uint8Array, sourceMap: out.get("t.wasm.map") as string };
}

export type InputOptions = Partial<LinkInput>;

/** A link input with two pages of data and one symbol of each section. */
export function inputOf(compiled: Compiled, options: InputOptions = {}): LinkInput {
  const data = new Uint8Array(0x180);
  data.set(new TextEncoder().encode("Linux version"));
  return {
    type: "kernel",
    wasm: compiled.wasm,
    sourceMap: compiled.sourceMap,
    blobs: {},
    data,
    dataEnd: 0x2000,
    symbols: [
      { name: "linux_banner", offset: 0, size: 0x100, section: "rodata" },
      { name: "jiffies_64", offset: 0x100, size: 8, section: "data" },
      { name: "current_task", offset: 0, size: 8, section: "percpu" },
      { name: "cpu_number", offset: 8, size: 4, section: "percpu" },
      { name: "swapper_pg_dir", offset: 0x1000, size: 0x800, section: "page_aligned" },
      { name: "log_buf", offset: 0x1800, size: 0x400, section: "bss" },
    ],
    backtrace: [],
    entry: [],
    kallsyms: true,
    release: "5.15.0-wasm",
    ...options,
  };
}

export function linkCompiled(compiled: Compiled, options: InputOptions = {}): LinkOutput {
  return link(inputOf(compiled, options), sha256);
}

export type Hardware = Record<string, (...args: number[]) => number | undefined>;

const DIRECT_MAP = 0xffff888000000000n;
export const LOAD_ADDRESS = 0x100000;

/** An image at 1 MiB of a 4 MiB memory. */
export class Rig {
  readonly memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
  readonly view = new DataView(this.memory.buffer);
  readonly stackTop: number;
  readonly base: number;
  readonly exports: Record<string, (...args: number[]) => number>;
  private readonly globals: Record<string, WebAssembly.Global>;

  constructor(
    readonly output: LinkOutput,
    hardware: Hardware = {},
    load = LOAD_ADDRESS,
  ) {
    const { header, image } = output;
    new Uint8Array(this.memory.buffer).set(image, load);
    this.base = load + header.dataOffset;
    this.stackTop = load + header.stackOffset;
    const constant = (value: number) => new WebAssembly.Global({ value: "i32", mutable: false }, value);
    // From the bytes in memory, as the runtime does it.
    const wasm = new Uint8Array(this.memory.buffer).slice(
      load + header.wasmOffset,
      load + header.wasmOffset + header.wasmSize,
    );
    const nothing = () => undefined;
    const hw = new Proxy(hardware, { get: (target, name: string) => target[name] ?? nothing });
    const instance = new WebAssembly.Instance(new WebAssembly.Module(wasm), {
      env: { memory: this.memory, __base: constant(this.base), __phys_base: constant(load - LOAD_ADDRESS) },
      hw: hw as WebAssembly.ModuleImports,
    });
    this.exports = instance.exports as unknown as Record<string, (...args: number[]) => number>;
    this.globals = instance.exports as unknown as Record<string, WebAssembly.Global>;
    this.sp = this.stackTop;
  }

  get sp(): number {
    return this.globals.sp?.value >>> 0;
  }

  set sp(value: number) {
    (this.globals.sp as WebAssembly.Global).value = value;
  }

  u64(at: number): bigint {
    return this.view.getBigUint64(at, true);
  }

  /** Calls an export on an empty stack; sp must be where it was when it returns. */
  call(name: string, ...args: number[]): number {
    this.sp = this.stackTop;
    const result = (this.exports[name] as (...args: number[]) => number)(...args);
    if (this.sp !== this.stackTop)
      throw new Error(`${name} returned with sp ${this.stackTop - this.sp} bytes off`);
    return result;
  }

  /** `function+0xoffset` of a text address. */
  nameOf(address: bigint): string {
    const { functions, header } = this.output;
    const offset = Number(address - header.linkAddress);
    const found = functions.find((it) => offset > it.address && offset < it.address + it.size);
    return found === undefined
      ? `0x${address.toString(16)}`
      : `${found.name}+0x${(offset - found.address).toString(16)}`;
  }

  /**
   * Return addresses from the innermost call out, as frame pointers lead to them, to the record at the
   * stack's top.
   */
  addresses(): bigint[] {
    const found = [this.u64(this.sp - 8)];
    for (let record = this.sp; ; ) {
      const above = Number(this.u64(record) - DIRECT_MAP);
      if (above === this.stackTop) return found;
      if (above <= record || above > this.stackTop) throw new Error(`record at ${record} leads to ${above}`);
      found.push(this.u64(record + 8));
      record = above;
    }
  }

  chain(): string[] {
    return this.addresses().map((address) => this.nameOf(address));
  }
}
