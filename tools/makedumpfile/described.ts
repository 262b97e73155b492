/**
 * The options that tell more of the crashed kernel than its dump does: -x VMLINUX, -i VMCOREINFO, --config
 * FILE; and -g, which makes the file for -i.
 */
import { O_CREAT, O_TRUNC, O_WRONLY, type Proc, SyscallError } from "../../runtime/user/proc.ts";
import { AddressSpace } from "../dump/address-space.ts";
import { FileBytes, readExactly } from "../dump/bytes.ts";
import { ADVICE_DAMAGED, DumpError } from "../dump/error.ts";
import { UTSNAME, UTSNAME_LENGTH } from "../dump/kdump-header.ts";
import type { KernelDump } from "../dump/memory-source.ts";
import { cString } from "../dump/notes.ts";
import { VmcoreInfo, vmcoreinfoFrom, vmcoreinfoOrNull } from "../dump/vmcoreinfo.ts";
import { strerror } from "../strerror.ts";
import { ConfigError, namesOf, parseConfig, type Section } from "./config.ts";
import { Eraser } from "./erase.ts";
import { Failure } from "./failure.ts";
import { KernelTypes, merged, releaseIn, shifted, utsnameOf } from "./types.ts";

/** No file of rules is longer. */
const CONFIG_MAX = 1024 * 1024;
/** WRONG_RELEASE: the exit status when dump and -i or -x are of different kernels. */
const WRONG_RELEASE = 2;

/** What the options name. */
export interface Sources {
  vmlinux: string | null;
  vmcoreinfo: string | null;
  config: string | null;
}

/** A dump of which more is known, and what of it is to be erased. */
export interface Described {
  dump: KernelDump;
  eraser: Eraser | null;
}

/** -g: writes `output` of the vmlinux; what is in it. Throws Failure, DumpError. */
export async function generate(
  proc: Proc,
  vmlinux: string,
  output: string,
): Promise<{ vmcoreinfo: VmcoreInfo }> {
  const file = await open(proc, vmlinux, "open_kernel_file: Can't open the kernel file");
  let text: string;
  try {
    text = await (await KernelTypes.open(file, { types: [], variables: [] })).vmcoreinfo();
  } finally {
    await file.close();
  }
  let fd: number;
  try {
    fd = await proc.open(output, O_WRONLY | O_CREAT | O_TRUNC, 0o666);
  } catch (error) {
    throw cannot(error, "open_vmcoreinfo: Can't open the vmcoreinfo file", output);
  }
  try {
    await proc.write(fd, text);
  } finally {
    await proc.close(fd);
  }
  return { vmcoreinfo: new VmcoreInfo(output, text) };
}

/**
 * The dump as vmlinux or file describe it: where they differ from its own VMCOREINFO, they count. `say` is
 * told of rules that cannot be followed. Throws Failure, DumpError.
 */
export async function describe(
  proc: Proc,
  dump: KernelDump,
  sources: Sources,
  say: (text: string) => Promise<void>,
): Promise<Described> {
  const { vmlinux, vmcoreinfo, config } = sources;
  const own = vmcoreinfoOrNull(dump) ?? new VmcoreInfo(dump.name, "");
  const shift = own.kernelOffset;
  if (vmcoreinfo !== null) {
    const what = "open_vmcoreinfo: Can't open the vmcoreinfo file";
    const info = vmcoreinfoFrom(vmcoreinfo, await readWhole(proc, vmcoreinfo, what));
    const text = shifted(info, shift);
    const release = info.value("OSRELEASE") ?? "";
    return { dump: await checked(dump, own, text, release, vmcoreinfo), eraser: null };
  }
  if (vmlinux === null) return { dump, eraser: null };
  const sections = config === null ? [] : await readConfig(proc, config);
  const file = await open(proc, vmlinux, "open_kernel_file: Can't open the kernel file");
  try {
    const types = await KernelTypes.open(file, namesOf(sections));
    const described = await checked(dump, own, await types.lines(shift), await types.release(), vmlinux);
    if (config === null) return { dump: described, eraser: null };
    const eraser = new Eraser(described, types, say);
    for (const section of sections) await eraser.follow(section);
    return { dump: described, eraser };
  } finally {
    await file.close();
  }
}

/** The dump with both descriptions, which must be of one kernel. */
async function checked(
  dump: KernelDump,
  own: VmcoreInfo,
  text: string,
  release: string,
  source: string,
): Promise<KernelDump> {
  const described = withInfo(dump, merged(own, text, release));
  const space = new AddressSpace(described);
  let bytes: Uint8Array;
  try {
    bytes = await space.read(utsnameOf(described.vmcoreinfo), UTSNAME.length * UTSNAME_LENGTH);
  } catch (error) {
    if (!(error instanceof DumpError)) throw error;
    throw new Failure(`check_release: Can't get the address of system_utsname.\n${error.message}`);
  }
  if (releaseIn(bytes) === release) return described;
  throw new Failure(`check_release: ${source} and ${dump.name} don't match.`, WRONG_RELEASE);
}

/** The same dump in all but its VMCOREINFO. */
function withInfo(dump: KernelDump, info: VmcoreInfo): KernelDump {
  return Object.create(dump, { vmcoreinfo: { value: info, enumerable: true } }) as KernelDump;
}

async function readConfig(proc: Proc, path: string): Promise<Section[]> {
  const bytes = await readWhole(proc, path, "process_config_file: Can't open config file");
  try {
    return parseConfig(cString(bytes));
  } catch (error) {
    if (error instanceof ConfigError) throw new Failure(error.message);
    throw error;
  }
}

async function readWhole(proc: Proc, path: string, what: string): Promise<Uint8Array> {
  const file = await open(proc, path, what);
  try {
    if (file.size > CONFIG_MAX) {
      throw new DumpError(
        path,
        `${file.size} bytes: expected a text of ${CONFIG_MAX} at most`,
        ADVICE_DAMAGED,
      );
    }
    return await readExactly(file, 0, file.size, "the text");
  } finally {
    await file.close();
  }
}

async function open(proc: Proc, path: string, what: string): Promise<FileBytes> {
  try {
    return await FileBytes.open(proc, path);
  } catch (error) {
    throw cannot(error, what, path);
  }
}

function cannot(error: unknown, what: string, path: string): unknown {
  if (!(error instanceof SyscallError)) return error;
  return new Failure(`${what}(${path}). ${strerror(error)}`);
}
