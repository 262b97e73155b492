/**
 * cpio archives in the newc form that Linux unpacks as an initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst). The same inputs give the same bytes: names
 * are sorted, times are 0, inode numbers count up.
 */

const S_IFCHR = 0o020000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const TRAILER = "TRAILER!!!";

export interface File {
  /** Permission bits. */
  mode: number;
  contents: Uint8Array | string;
}

export interface CharacterDevice {
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
