/** System.map: where the kernel's symbols lie. */

/**
 * __START_KERNEL_map: with phys_base 0, as the first kernel runs, an image address less this is the physical
 * one.
 */
const START_KERNEL_MAP = 0xffffffff80000000n;

export class SystemMap {
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

  #address(name: string): bigint {
    const address = this.addresses.get(name);
    if (address === undefined) throw new Error(`System.map has no ${name}`);
    return address;
  }
}
