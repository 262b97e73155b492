/**
 * VMCOREINFO: the lines in which a kernel tells the tools its layout
 * (Documentation/admin-guide/kdump/vmcoreinfo.rst).
 *
 *     OSRELEASE=5.15.0            SYMBOL(prb)=ffffffff80203920 (hex)     SIZE(printk_info)=88
 *     OFFSET(page.flags)=0        LENGTH(zone.free_area)=11              NUMBER(phys_base)=0
 *
 * Lines are kept in the order found; of two with the same key the last counts. What is asked for and absent
 * throws a DumpError that names the line.
 */
import { ADVICE_DAMAGED, DumpError } from "./error.ts";
import type { Note } from "./notes.ts";

/** Linux's own limit is one page, 64 KiB in newer kernels; far above both the note is damaged. */
export const VMCOREINFO_SIZE_MAX = 1024 * 1024;
export const VMCOREINFO_NOTE = "VMCOREINFO";
/** Pages of the machines that Linux runs on. */
export const PAGE_SIZE_MIN = 1024;
export const PAGE_SIZE_MAX = 65536;

const ADVICE =
  "The kernel that crashed does not describe what this command needs, or its VMCOREINFO note is damaged.";

export class VmcoreInfo {
  private readonly values = new Map<string, string>();

  /** `name` is the dump's, for messages; `text` the note's descriptor. */
  constructor(
    readonly name: string,
    readonly text: string,
  ) {
    for (const line of text.split("\n")) {
      const equals = line.indexOf("=");
      if (equals > 0) this.values.set(line.slice(0, equals), line.slice(equals + 1));
    }
  }

  get keys(): string[] {
    return [...this.values.keys()];
  }

  /** The raw value of a line, for the keys that are no function of a name: OSRELEASE, BUILD-ID, CRASHTIME. */
  value(key: string): string | undefined {
    return this.values.get(key);
  }

  has(key: string): boolean {
    return this.values.has(key);
  }

  /** The virtual address of a symbol. */
  symbol(name: string): bigint {
    const text = this.require(`SYMBOL(${name})`);
    if (!/^[0-9a-f]{1,16}$/i.test(text)) throw this.malformed(`SYMBOL(${name})`, text);
    return BigInt(`0x${text}`);
  }

  /** KERNELOFFSET: what KASLR added to the addresses of the vmlinux. */
  get kernelOffset(): bigint {
    const text = this.value("KERNELOFFSET") ?? "0";
    return /^[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text}`) : 0n;
  }

  size(name: string): number {
    return this.count(`SIZE(${name})`);
  }

  offset(member: string): number {
    return this.count(`OFFSET(${member})`);
  }

  length(name: string): number {
    return this.count(`LENGTH(${name})`);
  }

  /** NUMBER() lines may be negative, and hexadecimal with 0x in newer kernels. */
  number(name: string): bigint {
    const key = `NUMBER(${name})`;
    const text = this.require(key);
    if (!/^(-?\d{1,20}|0x[0-9a-f]{1,16})$/i.test(text)) throw this.malformed(key, text);
    return BigInt(text);
  }

  /** A number that may be absent. */
  numberOr(name: string, absent: bigint): bigint {
    return this.has(`NUMBER(${name})`) ? this.number(name) : absent;
  }

  private count(key: string): number {
    const text = this.require(key);
    // A struct is smaller than a gigabyte: a longer number is damage, and would spoil every sum made with it.
    if (!/^\d{1,9}$/.test(text)) throw this.malformed(key, text);
    return Number(text);
  }

  private require(key: string): string {
    const text = this.values.get(key);
    if (text === undefined)
      throw new DumpError(`${this.name}, VMCOREINFO`, `the line ${key} is missing`, ADVICE);
    return text;
  }

  private malformed(key: string, text: string): DumpError {
    return new DumpError(`${this.name}, VMCOREINFO`, `${key} has the value "${text.slice(0, 40)}"`, ADVICE);
  }
}

/** The VMCOREINFO among a dump's notes. Throws DumpError when there is none. */
export function vmcoreinfoOf(name: string, notes: readonly Note[]): VmcoreInfo {
  const note = notes.find((it) => it.name === VMCOREINFO_NOTE && it.type === 0);
  if (note === undefined) {
    const advice =
      "Only dumps made by kdump have one; take the dump of another tool to crash with a vmlinux.";
    throw new DumpError(name, "no VMCOREINFO note among the notes", advice);
  }
  return vmcoreinfoFrom(name, note.descriptor);
}

/** The same of an open dump; null when it has none that can be read. */
export function vmcoreinfoOrNull(dump: { vmcoreinfo: VmcoreInfo }): VmcoreInfo | null {
  try {
    return dump.vmcoreinfo;
  } catch (error) {
    if (error instanceof DumpError) return null;
    throw error;
  }
}

/** The VMCOREINFO that these bytes are. Throws DumpError when they are more than any kernel writes. */
export function vmcoreinfoFrom(name: string, bytes: Uint8Array): VmcoreInfo {
  if (bytes.length > VMCOREINFO_SIZE_MAX) {
    throw new DumpError(name, `the VMCOREINFO note claims ${bytes.length} bytes`, ADVICE_DAMAGED);
  }
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return new VmcoreInfo(name, text);
}

/** PAGESIZE of a dump whose format has no field for it; 4096 when VMCOREINFO does not tell. */
export function pageSizeOf(dump: { vmcoreinfo: VmcoreInfo }): number {
  const size = Number(vmcoreinfoOrNull(dump)?.value("PAGESIZE"));
  return Number.isInteger(Math.log2(size)) && size >= PAGE_SIZE_MIN && size <= PAGE_SIZE_MAX ? size : 4096;
}
