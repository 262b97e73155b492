/**
 * The capture kernel's initrd, what kdump.conf in it says, and how another core_collector gets there before a
 * machine boots: as mkdumprd makes the initrd anew when somebody has changed the file.
 */
import { type CharacterDevice, type File, makeCpio } from "./cpio.ts";

/** What saves the dump when nothing else is asked for. */
export const CORE_COLLECTOR_DEFAULT = "cp";
const KDUMP_INITRD = "/boot/initramfs-kdump.img";
const KDUMP_CONF = "/etc/kdump.conf";

/** A program's file: tools/init/exec.ts and the machine look NAME up in the program table. */
export const program = (name: string): File => ({ mode: 0o755, contents: `#!program ${name}\n` });
export const text = (contents: string): File => ({ mode: 0o644, contents });

/** Without it the kernel has nothing to give init as descriptors 0, 1 and 2 (usr/default_cpio_list). */
export const CONSOLE: CharacterDevice = { mode: 0o600, major: 5, minor: 1 };

const kdumpConf = (core_collector: string): string => `# See kdump.conf(5).
path /var/crash
core_collector ${core_collector}
failure_action reboot
final_action reboot
`;

/** Where a component that is the core_collector lies in the capture environment. */
export const COLLECTOR_FILE = "/usr/lib/kdump/collector.wasm";

/** The capture kernel's own initrd: init, the kdump script and what that runs. */
export function captureInitrd(
  core_collector = CORE_COLLECTOR_DEFAULT,
  component: Uint8Array | null = null,
): Uint8Array {
  return makeCpio({
    "/init": program("init"),
    "/dev/console": CONSOLE,
    "/bin/cp": program("cp"),
    "/sbin/makedumpfile": program("makedumpfile"),
    "/sbin/vmcore-dmesg": program("vmcore-dmesg"),
    "/usr/bin/kdump": program("kdump"),
    [KDUMP_CONF]: text(kdumpConf(core_collector)),
    ...(component === null ? {} : { [COLLECTOR_FILE]: { mode: 0o644, contents: component } }),
  });
}

/** The files of the first kernel that tell how a dump is saved. */
export function kdumpFiles(
  core_collector = CORE_COLLECTOR_DEFAULT,
  component: Uint8Array | null = null,
): Record<string, File> {
  return {
    [KDUMP_INITRD]: { mode: 0o600, contents: captureInitrd(core_collector, component) },
    [KDUMP_CONF]: text(kdumpConf(core_collector)),
  };
}

/**
 * The first kernel's initrd with another core_collector: an archive behind it, whose files replace those of
 * the same names. A component goes to COLLECTOR_FILE.
 */
export function withCoreCollector(
  initrd: Uint8Array,
  core_collector: string,
  component: Uint8Array | null = null,
): Uint8Array {
  if (core_collector === CORE_COLLECTOR_DEFAULT) return initrd;
  const more = makeCpio(kdumpFiles(core_collector, component));
  const whole = new Uint8Array(initrd.length + more.length);
  whole.set(initrd);
  whole.set(more, initrd.length);
  return whole;
}
