/**
 * CachedBytes: small reads of a large file, by blocks of which the last used are kept. What a reader needs of
 * memory does not grow with the file.
 */
import { type ByteSource, readExactly } from "./bytes.ts";

const BLOCK_SIZE = 64 * 1024;
const BLOCKS = 24;

export class CachedBytes {
  /** By block number, in the order of their last use. */
  private readonly blocks = new Map<number, Uint8Array>();
  private last = -1;
  private lastBlock: Uint8Array = new Uint8Array(0);

  constructor(readonly source: ByteSource) {}

  /**
   * `length` bytes at `offset`, as a view that must not be written to. Throws DumpError when the file ends
   * before them; `what` names them.
   */
  async view(offset: number, length: number, what: string): Promise<Uint8Array> {
    const number = Math.floor(offset / BLOCK_SIZE);
    const within = offset - number * BLOCK_SIZE;
    if (within + length > BLOCK_SIZE || offset + length > this.source.size)
      return this.join(offset, length, what);
    const block = number === this.last ? this.lastBlock : await this.block(number, what);
    return block.subarray(within, within + length);
  }

  private async join(offset: number, length: number, what: string): Promise<Uint8Array> {
    // Beyond the end, or so long that blocks would only be copied.
    if (offset + length > this.source.size || length > BLOCK_SIZE) {
      return readExactly(this.source, offset, length, what);
    }
    const bytes = new Uint8Array(length);
    const first = BLOCK_SIZE - (offset % BLOCK_SIZE);
    bytes.set(await this.view(offset, first, what));
    bytes.set(await this.view(offset + first, length - first, what), first);
    return bytes;
  }

  private async block(number: number, what: string): Promise<Uint8Array> {
    let block = this.blocks.get(number);
    if (block === undefined) {
      const offset = number * BLOCK_SIZE;
      block = await readExactly(this.source, offset, Math.min(BLOCK_SIZE, this.source.size - offset), what);
      if (this.blocks.size >= BLOCKS) this.blocks.delete(this.blocks.keys().next().value as number);
    } else this.blocks.delete(number);
    this.blocks.set(number, block);
    this.last = number;
    this.lastBlock = block;
    return block;
  }
}
