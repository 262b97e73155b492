/**
 * mkswap, swapon and swapoff: what util-linux's programs do, in their words; and the swap area that init
 * makes (boot --swap).
 */
import { O_RDONLY, O_RDWR, type Proc, SyscallError } from "../../runtime/user/proc.ts";
import { echo, type Run, readText } from "../init/exec.ts";
import { strerror } from "../strerror.ts";

/** The kernel parameter: KiB of swap area that init makes. */
export const SWAP_PARAMETER = "wkdump.swap";
/** The device that it makes it on; /dev/ram0 is --fill's. */
const SWAP_DEVICE = "/dev/ram1";

const PAGE = 4096;
const KIB = 1024;
/** mkswap's least: ten pages. */
export const SWAP_MIN = 10 * PAGE;
/** union swap_header (include/linux/swap.h). */
const HEADER = { version: 1024, last_page: 1028, uuid: 1036, magic: PAGE - 10 };
const MAGIC = "SWAPSPACE2";
const SEEK_END = 2;
/** What is written to the device before it is synced. */
const STEP = 64 * PAGE;
const SWAP_FLAG_PREFER = 0x8000;
const PRIORITY_MAX = 32767;

async function complain(proc: Proc, text: string): Promise<number> {
  await proc.write(2, `${proc.argv[0]}: ${text}\n`);
  return 1;
}

/** Bytes as people write them: whole MiB, or KiB with one digit. */
function readable(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  let value = bytes;
  for (; value >= KIB && unit < units.length - 1; unit++) value /= KIB;
  return `${Number.isInteger(value) ? value : Math.floor(value * 10) / 10} ${units[unit]}`;
}

/** A random one (RFC 4122, version 4). */
async function makeUuid(proc: Proc): Promise<Uint8Array> {
  const uuid = new Uint8Array(16);
  const fd = await proc.open("/dev/urandom", O_RDONLY);
  await proc.read(fd, uuid);
  await proc.close(fd);
  uuid[6] = ((uuid[6] as number) & 0x0f) | 0x40;
  uuid[8] = ((uuid[8] as number) & 0x3f) | 0x80;
  return uuid;
}

function uuidText(uuid: Uint8Array): string {
  const hex = [...uuid].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** mkswap DEVICE [KIB] */
export async function mkswap(proc: Proc): Promise<number> {
  const [, device, blocks] = proc.argv;
  if (device === undefined) return complain(proc, "error: Nowhere to set up swap on?");
  if (blocks !== undefined && !/^\d+$/.test(blocks)) return complain(proc, "failed to parse size");
  let fd: number;
  try {
    fd = await proc.open(device, O_RDWR);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return complain(proc, `cannot open ${device}: ${strerror(error)}`);
  }
  const size = await proc.lseek(fd, 0, SEEK_END);
  const wanted = blocks === undefined ? size : Number(blocks) * KIB;
  if (wanted > size) {
    return complain(
      proc,
      `error: size ${blocks} KiB is larger than device size ${Math.floor(size / KIB)} KiB`,
    );
  }
  const pages = Math.floor(wanted / PAGE);
  if (pages * PAGE < SWAP_MIN)
    return complain(proc, `error: swap area needs to be at least ${SWAP_MIN / KIB} KiB`);
  const uuid = await makeUuid(proc);
  const header = new Uint8Array(PAGE);
  const view = new DataView(header.buffer);
  view.setUint32(HEADER.version, 1, true);
  view.setUint32(HEADER.last_page, pages - 1, true);
  header.set(uuid, HEADER.uuid);
  header.set(new TextEncoder().encode(MAGIC), HEADER.magic);
  await proc.lseek(fd, 0, 0);
  await proc.write(fd, header);
  await proc.fsync(fd);
  await proc.close(fd);
  const bytes = (pages - 1) * PAGE;
  await echo(proc, `Setting up swapspace version 1, size = ${readable(bytes)} (${bytes} bytes)`);
  await echo(proc, `no label, UUID=${uuidText(uuid)}`);
  return 0;
}

/** swapon [-p PRIORITY] DEVICE, or swapon -s */
export async function swapon(proc: Proc): Promise<number> {
  const args = proc.argv.slice(1);
  if (args[0] === "-s") {
    await proc.write(1, await readText(proc, "/proc/swaps"));
    return 0;
  }
  let flags = 0;
  if (args[0] === "-p") {
    const priority = Number(args[1]);
    if (!/^\d+$/.test(args[1] ?? "") || priority > PRIORITY_MAX)
      return complain(proc, "failed to parse priority");
    flags = SWAP_FLAG_PREFER | priority;
    args.splice(0, 2);
  }
  const [device] = args;
  if (device === undefined) return complain(proc, "bad usage");
  return change(proc, device, () => proc.swapon(device, flags));
}

/** swapoff DEVICE */
export async function swapoff(proc: Proc): Promise<number> {
  const [, device] = proc.argv;
  if (device === undefined) return complain(proc, "bad usage");
  return change(proc, device, () => proc.swapoff(device));
}

async function change(proc: Proc, device: string, call: () => Promise<void>): Promise<number> {
  try {
    await call();
    return 0;
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return complain(proc, `${device}: ${error.syscall} failed: ${strerror(error)}`);
  }
}

/**
 * The swap area that the kernel parameter asks for. The disk's pages are made first, so that to swap takes no
 * memory any more.
 */
export async function prepareSwap(proc: Proc, run: Run, parameters: readonly string[]): Promise<void> {
  const word = parameters.filter((parameter) => parameter.startsWith(`${SWAP_PARAMETER}=`)).at(-1);
  const kilobytes = Number(word?.slice(SWAP_PARAMETER.length + 1));
  if (!Number.isInteger(kilobytes) || kilobytes <= 0) return;
  const fd = await proc.open(SWAP_DEVICE, O_RDWR);
  const zeros = new Uint8Array(STEP);
  for (let left = kilobytes * KIB; left > 0; left -= STEP) {
    await proc.write(fd, zeros.subarray(0, Math.min(left, STEP)));
    await proc.fsync(fd);
  }
  await proc.close(fd);
  const status = await run(proc, ["mkswap", SWAP_DEVICE, String(kilobytes)]);
  if (status === 0) await run(proc, ["swapon", SWAP_DEVICE]);
}
