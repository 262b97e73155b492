/**
 * What a writer of dumps needs to know of the dump that it reads: notes, name and time of the crashed kernel.
 */
import { AddressSpace, physBaseOf } from "./address-space.ts";
import { type Extent, UTSNAME, UTSNAME_LENGTH } from "./kdump-header.ts";
import type { KdumpImage } from "./kdump-writer.ts";
import type { KernelDump } from "./memory-source.ts";
import { cString, latin1, NT_PRSTATUS } from "./notes.ts";
import { VMCOREINFO_NOTE, type VmcoreInfo, vmcoreinfoOrNull } from "./vmcoreinfo.ts";

type Described = Pick<KdumpImage, "utsname" | "timestamp" | "physBase">;

/**
 * The headers of a kdump-compressed dump of this one, filtered with `dumpLevel` once more. Throws DumpError
 * when the kernel's name cannot be read; without VMCOREINFO name and time stay empty.
 */
export async function kdumpImage(dump: KernelDump, dumpLevel: number): Promise<KdumpImage> {
  const maxMapnr = Math.ceil(dump.end / dump.pageSize);
  const { pageSize, noteBytes: notes } = dump;
  const eraseinfo = latin1(dump.eraseinfo);
  const common = { pageSize, maxMapnr, notes, vmcoreinfo: vmcoreinfoIn(dump), eraseinfo };
  if (dump.header !== null) {
    const { utsname, timestamp, nrCpus, physBase } = dump.header;
    return { ...common, dumpLevel: dumpLevel | dump.header.dumpLevel, utsname, timestamp, nrCpus, physBase };
  }
  const info = vmcoreinfoOrNull(dump);
  return {
    ...common,
    ...(info === null ? undescribed(dump) : await described(dump, info)),
    dumpLevel,
    nrCpus: dump.notes.filter((note) => note.type === NT_PRSTATUS && note.name === "CORE").length,
  };
}

async function described(dump: KernelDump, info: VmcoreInfo): Promise<Described> {
  const space = new AddressSpace(dump);
  const name = info.symbol("init_uts_ns") + BigInt(info.offset("uts_namespace.name"));
  const bytes = await space.read(name, UTSNAME.length * UTSNAME_LENGTH);
  const member = (index: number) =>
    cString(bytes.subarray(index * UTSNAME_LENGTH, (index + 1) * UTSNAME_LENGTH));
  const crashed = info.value("CRASHTIME") ?? "";
  return {
    utsname: Object.fromEntries(UTSNAME.map((key, index) => [key, member(index)])) as KdumpImage["utsname"],
    timestamp: { seconds: /^\d{1,18}$/.test(crashed) ? BigInt(crashed) : 0n, microseconds: 0n },
    physBase: space.physBase,
  };
}

function undescribed(dump: KernelDump): Described {
  return {
    utsname: Object.fromEntries(UTSNAME.map((key) => [key, ""])) as KdumpImage["utsname"],
    timestamp: { seconds: 0n, microseconds: 0n },
    physBase: physBaseOf(dump),
  };
}

/** Where VMCOREINFO's text lies among the notes; size 0 when there is none. */
function vmcoreinfoIn({ notes, noteBytes }: KernelDump): Extent {
  const note = notes.find((it) => it.name === VMCOREINFO_NOTE && it.type === 0);
  if (note === undefined) return { offset: 0, size: 0 };
  return { offset: note.descriptor.byteOffset - noteBytes.byteOffset, size: note.descriptor.length };
}
