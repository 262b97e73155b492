/** System.map: where the kernel's symbols lie. */

/**
 * __START_KERNEL_map: with phys_base 0, as the first kernel runs, an image address less this is the physical
 * one.
 */
const START_KERNEL_MAP = 0xffffffff80000000n;

export class SystemMap {
  /** Functions, by address. */
  #text: { address: bigint; name: string }[] | undefined;

  private constructor(private readonly addresses: ReadonlyMap<string, bigint>) {}

  static parse(text: Uint8Array): SystemMap {
    const addresses = new Map<string, bigint>();
    for (const line of new TextDecoder().decode(text).split("\n")) {
      const [address, , name] = line.split(" ");
      if (address !== undefined && name !== undefined) addresses.set(name, BigInt(`0x${address}`));
    }
    return new SystemMap(addresses);
  }

  /** The physical address of a symbol of the image. */
  physical(name: string): number {
    return Number(this.#address(name) - START_KERNEL_MAP);
  }

  /** Where a per-CPU variable lies in each CPU's area. */
  percpu(name: string): number {
    return Number(this.#address(name));
  }

  /** The function that an address lies in; undefined when it lies in none. */
  textAt(address: bigint): string | undefined {
    const [start, end] = [this.#address("_stext"), this.#address("_etext")];
    if (address < start || address >= end) return undefined;
    this.#text ??= [...this.addresses]
      .map(([name, at]) => ({ address: at, name }))
      .filter(({ name, address: at }) => at >= start && at < end && name !== "_stext")
      .sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
    let [low, high] = [0, this.#text.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#text[middle]!.address <= address) low = middle + 1;
      else high = middle;
    }
    return this.#text[low - 1]?.name;
  }

  #address(name: string): bigint {
    const address = this.addresses.get(name);
    if (address === undefined) throw new Error(`System.map has no ${name}`);
    return address;
  }
}
