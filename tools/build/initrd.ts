/**
 * The first kernel's initrd, and in it the capture kernel's: cpio archives in the newc form that Linux unpacks
 * (Documentation/driver-api/early-userspace/buffer-format.rst). The same inputs give the same bytes: names are sorted,
 * times are 0, inode numbers count up.
 */
import { CRASH_PARAMETER, crashConf } from "../init/crashes.ts";

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const TRAILER = "TRAILER!!!";

interface File {
  /** Permission bits. */
  mode: number;
  contents: Uint8Array | string;
}

const ascii = new TextEncoder();
const padded = (size: number): number => (size + 3) & ~3;

/** One archive member: a header of 6 + 13 * 8 characters, the name with its NUL, the contents, each padded to 4. */
function member(name: string, inode: number, mode: number, contents: Uint8Array): Uint8Array {
  const nameBytes = ascii.encode(`${name}\0`);
  const links = (mode & S_IFDIR) !== 0 ? 2 : 1;
  //              ino    mode  uid gid nlink  mtime filesize         dev rdev       namesize          check
  const fields = [inode, mode, 0, 0, links, 0, contents.length, 0, 0, 0, 0, nameBytes.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).toUpperCase().padStart(8, "0")).join("")}`;
  const nameEnd = padded(header.length + nameBytes.length);
  const bytes = new Uint8Array(nameEnd + padded(contents.length));
  bytes.set(ascii.encode(header));
  bytes.set(nameBytes, header.length);
  bytes.set(contents, nameEnd);
  return bytes;
}

/** An archive of `files` (absolute paths) and the directories they need. */
export function makeCpio(files: Record<string, File>): Uint8Array {
  const entries = new Map<string, { mode: number; contents: Uint8Array }>();
  for (const [path, { mode, contents }] of Object.entries(files)) {
    const parts = path.split("/").filter((part) => part !== "");
    for (let depth = 1; depth < parts.length; depth++) {
      entries.set(parts.slice(0, depth).join("/"), { mode: S_IFDIR | 0o755, contents: new Uint8Array(0) });
    }
    const bytes = typeof contents === "string" ? ascii.encode(contents) : contents;
    entries.set(parts.join("/"), { mode: S_IFREG | mode, contents: bytes });
  }
  // Sorted, a directory comes before what lies in it.
  const names = [...entries.keys()].sort();
  const members = names.map((name, index) => {
    const { mode, contents } = entries.get(name)!;
    return member(name, index + 1, mode, contents);
  });
  members.push(member(TRAILER, 0, 0, new Uint8Array(0)));
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

const KDUMP_CONF = `# See kdump.conf(5).
path /var/crash
core_collector cp
failure_action reboot
final_action reboot
`;

const SYSCONFIG_KDUMP = `# The capture kernel's command line is KDUMP_COMMANDLINE, or /proc/cmdline when that is empty,
# without the words to remove and with those to append.
KDUMP_COMMANDLINE=""
KDUMP_COMMANDLINE_REMOVE="quiet log_buf_len ${CRASH_PARAMETER}"
KDUMP_COMMANDLINE_APPEND="irqpoll nr_cpus=1 reset_devices panic=10"
KEXEC_ARGS="-s"
KDUMP_BOOTDIR="/boot"
KDUMP_IMG="vmlinuz"
`;

/** The capture kernel's own initrd: init, the kdump script and what that runs. */
function captureInitrd(): Uint8Array {
  return makeCpio({
    "/init": program("init"),
    "/bin/cp": program("cp"),
    "/sbin/vmcore-dmesg": program("vmcore-dmesg"),
    "/usr/bin/kdump": program("kdump"),
    "/etc/kdump.conf": text(KDUMP_CONF),
  });
}

/** The first kernel's initrd, with the capture kernel and its initrd as files in /boot. */
export function makeInitrd({ captureImage }: { captureImage: Uint8Array }): Uint8Array {
  return makeCpio({
    "/init": program("init"),
    "/bin/cp": program("cp"),
    "/sbin/kexec": program("kexec"),
    "/sbin/vmcore-dmesg": program("vmcore-dmesg"),
    "/usr/bin/kdumpctl": program("kdumpctl"),
    "/boot/vmlinuz": { mode: 0o644, contents: captureImage },
    "/boot/initramfs-kdump.img": { mode: 0o600, contents: captureInitrd() },
    "/etc/kdump.conf": text(KDUMP_CONF),
    "/etc/sysconfig/kdump": text(SYSCONFIG_KDUMP),
    "/etc/crash.conf": text(crashConf()),
  });
}
