/**
 * Code beside the kernel's own: what a CPU may run is told by a table in memory (struct code_table,
 * kernel-wasm/abi/module.ts), whose place the kernel gives each CPU with load_code_table. A CPU looks there
 * when sync_core asks it to, and whenever it may have been away: the table's generation says whether
 * anything changed. Nothing else is kept: from memory all of it can be made again.
 *
 *     generation u64, count u32, u32, then for each: generation u64, start u64, size u32, table_base u32,
 *     table_slots u32, u32
 */
import type { PhysicalMemory } from "./memory.ts";

const HEADER_SIZE = 16;
const ENTRY_SIZE = 32;
/** More entries than this are not looked at. */
const ENTRIES_MAX = 32;

interface Loaded {
  tableBase: number;
  tableSlots: number;
}

/** What the kernel's instance lends to other code. */
export interface KernelParts {
  table: WebAssembly.Table;
  imports: WebAssembly.ModuleImports;
}

export class CodeTable {
  /** Physical address; 0 until the kernel loads it. */
  #at = 0;
  #generation = 0n;
  #complete = true;
  /** By the generation that brought it. */
  readonly #loaded = new Map<bigint, Loaded>();

  constructor(
    private readonly memory: PhysicalMemory,
    private readonly parts: KernelParts,
  ) {}

  load(at: number): void {
    this.#at = at;
    this.sync();
  }

  /** Takes in what is new and gives back what is gone. Whether all that the table names can run. */
  sync(): boolean {
    if (this.#at === 0 || !this.memory.has(this.#at, HEADER_SIZE + ENTRY_SIZE * ENTRIES_MAX)) return true;
    const generation = this.#u64(this.#at);
    if (generation === this.#generation) return this.#complete;
    this.#generation = generation;
    const count = Math.min(this.memory.u32(this.#at + 8), ENTRIES_MAX);
    const entries = Array.from({ length: count }, (_, i) => this.#at + HEADER_SIZE + i * ENTRY_SIZE);
    const present = new Set(entries.map((at) => this.#u64(at)));
    for (const [brought, loaded] of this.#loaded) {
      if (present.has(brought)) continue;
      for (let slot = 0; slot < loaded.tableSlots; slot++)
        this.parts.table.set(loaded.tableBase + slot, null);
      this.#loaded.delete(brought);
    }
    for (const at of entries) if (!this.#loaded.has(this.#u64(at))) this.#take(at);
    this.#complete = this.#loaded.size === count;
    return this.#complete;
  }

  #u64(at: number): bigint {
    return (BigInt(this.memory.u32(at + 4)) << 32n) | BigInt(this.memory.u32(at));
  }

  /** Code that cannot run leaves its slots empty: a call of it is a trap. */
  #take(at: number): void {
    const { memory, parts } = this;
    const start = memory.u32(at + 8);
    const size = memory.u32(at + 16);
    const tableBase = memory.u32(at + 20);
    const tableSlots = memory.u32(at + 24);
    if (!memory.has(start, size)) return;
    try {
      const missing = tableBase + tableSlots - parts.table.length;
      if (missing > 0) parts.table.grow(missing);
      const module = new WebAssembly.Module(memory.copy(start, size));
      new WebAssembly.Instance(module, { cpu: parts.imports });
    } catch (error) {
      const broken =
        error instanceof WebAssembly.CompileError ||
        error instanceof WebAssembly.LinkError ||
        error instanceof WebAssembly.RuntimeError ||
        error instanceof RangeError ||
        error instanceof TypeError;
      if (!broken) throw error;
      return;
    }
    this.#loaded.set(this.#u64(at), { tableBase, tableSlots });
  }
}
