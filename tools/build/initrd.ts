/**
 * The first kernel's initrd, and in it the capture kernel's: cpio archives in the newc form that Linux
 * unpacks (Documentation/driver-api/early-userspace/buffer-format.rst). The same inputs give the same bytes:
 * names are sorted, times are 0, inode numbers count up.
 */
import { KERNEL_RELEASE } from "../../kernel-wasm/abi/config.ts";
import { CRASH_PARAMETER, crashConf, MODULES_PARAMETER } from "../init/crashes.ts";

const S_IFCHR = 0o020000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const TRAILER = "TRAILER!!!";

interface File {
  /** Permission bits. */
  mode: number;
  contents: Uint8Array | string;
}

interface CharacterDevice {
  mode: number;
  major: number;
  minor: number;
}

/** An inode as the archive has it. */
interface Inode {
  /** Type and permission bits. */
  mode: number;
  contents: Uint8Array;
  rdev: [major: number, minor: number];
}

const NO_CONTENTS = new Uint8Array(0);
const NO_DEVICE: Inode["rdev"] = [0, 0];
const ascii = new TextEncoder();
const padded = (size: number): number => (size + 3) & ~3;

/**
 * One archive member: a header of 6 + 13 * 8 characters, the name with its NUL, the contents, each padded to
 * 4.
 */
function member(name: string, number: number, { mode, contents, rdev }: Inode): Uint8Array {
  const nameBytes = ascii.encode(`${name}\0`);
  const links = (mode & S_IFDIR) !== 0 ? 2 : 1;
  //              ino     mode  uid gid nlink  mtime filesize        dev    rdev     namesize          check
  const fields = [number, mode, 0, 0, links, 0, contents.length, 0, 0, ...rdev, nameBytes.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).toUpperCase().padStart(8, "0")).join("")}`;
  const nameEnd = padded(header.length + nameBytes.length);
  const bytes = new Uint8Array(nameEnd + padded(contents.length));
  bytes.set(ascii.encode(header));
  bytes.set(nameBytes, header.length);
  bytes.set(contents, nameEnd);
  return bytes;
}

function inodeOf(file: File | CharacterDevice): Inode {
  if ("major" in file) {
    return { mode: S_IFCHR | file.mode, contents: NO_CONTENTS, rdev: [file.major, file.minor] };
  }
  const contents = typeof file.contents === "string" ? ascii.encode(file.contents) : file.contents;
  return { mode: S_IFREG | file.mode, contents, rdev: NO_DEVICE };
}

/** An archive of `files` (absolute paths) and the directories they need. */
export function makeCpio(files: Record<string, File | CharacterDevice>): Uint8Array {
  const inodes = new Map<string, Inode>();
  for (const [path, file] of Object.entries(files)) {
    const parts = path.split("/").filter((part) => part !== "");
    for (let depth = 1; depth < parts.length; depth++) {
      const directory = parts.slice(0, depth).join("/");
      inodes.set(directory, { mode: S_IFDIR | 0o755, contents: NO_CONTENTS, rdev: NO_DEVICE });
    }
    inodes.set(parts.join("/"), inodeOf(file));
  }
  // Sorted, a directory comes before what lies in it.
  const names = [...inodes.keys()].sort();
  const members = names.map((name, index) => member(name, index + 1, inodes.get(name)!));
  members.push(member(TRAILER, 0, { mode: 0, contents: NO_CONTENTS, rdev: NO_DEVICE }));
  const archive = new Uint8Array(members.reduce((size, { length }) => size + length, 0));
  let at = 0;
  for (const bytes of members) {
    archive.set(bytes, at);
    at += bytes.length;
  }
  return archive;
}

/** A program's file: tools/init/exec.ts and the machine look NAME up in the program table. */
const program = (name: string): File => ({ mode: 0o755, contents: `#!program ${name}\n` });
const text = (contents: string): File => ({ mode: 0o644, contents });

/** Without it the kernel has nothing to give init as descriptors 0, 1 and 2 (usr/default_cpio_list). */
const CONSOLE: CharacterDevice = { mode: 0o600, major: 5, minor: 1 };

const KDUMP_CONF = `# See kdump.conf(5).
path /var/crash
core_collector cp
failure_action reboot
final_action reboot
`;

const SYSCONFIG_KDUMP = `# The capture kernel's command line is KDUMP_COMMANDLINE, or /proc/cmdline when
# that is empty, without the words to remove and with those to append.
KDUMP_COMMANDLINE=""
KDUMP_COMMANDLINE_REMOVE="quiet log_buf_len ${CRASH_PARAMETER} ${MODULES_PARAMETER}"
KDUMP_COMMANDLINE_APPEND="irqpoll nr_cpus=1 reset_devices panic=10"
KEXEC_ARGS="-s"
KDUMP_BOOTDIR="/boot"
KDUMP_IMG="vmlinuz"
`;

/** The capture kernel's own initrd: init, the kdump script and what that runs. */
export function captureInitrd(): Uint8Array {
  return makeCpio({
    "/init": program("init"),
    "/dev/console": CONSOLE,
    "/bin/cp": program("cp"),
    "/sbin/vmcore-dmesg": program("vmcore-dmesg"),
    "/usr/bin/kdump": program("kdump"),
    "/etc/kdump.conf": text(KDUMP_CONF),
  });
}

interface InitrdFiles {
  captureImage: Uint8Array;
  /** Kernel modules by name. */
  modules: Readonly<Record<string, Uint8Array>>;
}

/** The first kernel's initrd, with the capture kernel and its initrd as files in /boot. */
export function makeInitrd({ captureImage, modules }: InitrdFiles): Uint8Array {
  const folder = `/lib/modules/${KERNEL_RELEASE}`;
  const objects = Object.entries(modules).map(([name, contents]): [string, File] => [
    `${folder}/${name}.ko`,
    { mode: 0o644, contents },
  ]);
  return makeCpio({
    ...Object.fromEntries(objects),
    "/sbin/insmod": program("insmod"),
    "/sbin/lsmod": program("lsmod"),
    "/sbin/mkswap": program("mkswap"),
    "/sbin/modprobe": program("modprobe"),
    "/sbin/rmmod": program("rmmod"),
    "/sbin/swapoff": program("swapoff"),
    "/sbin/swapon": program("swapon"),
    "/init": program("init"),
    "/dev/console": CONSOLE,
    "/bin/cp": program("cp"),
    "/sbin/kexec": program("kexec"),
    "/sbin/vmcore-dmesg": program("vmcore-dmesg"),
    "/usr/bin/kdumpctl": program("kdumpctl"),
    "/usr/bin/workload": program("workload"),
    "/boot/vmlinuz": { mode: 0o644, contents: captureImage },
    "/boot/initramfs-kdump.img": { mode: 0o600, contents: captureInitrd() },
    "/etc/kdump.conf": text(KDUMP_CONF),
    "/etc/sysconfig/kdump": text(SYSCONFIG_KDUMP),
    "/etc/crash.conf": text(crashConf()),
  });
}
