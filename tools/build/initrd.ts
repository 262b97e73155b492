/** The first kernel's initrd, and in it the capture kernel and that one's initrd. */
import { KERNEL_RELEASE } from "../../kernel-wasm/abi/config.ts";
import { CRASH_PARAMETER, crashConf, MODULES_PARAMETER } from "../init/crashes.ts";
import { CONSOLE, kdumpFiles, program, text } from "../initrd/capture.ts";
import { type File, makeCpio } from "../initrd/cpio.ts";

const SYSCONFIG_KDUMP = `# The capture kernel's command line is KDUMP_COMMANDLINE, or /proc/cmdline when
# that is empty, without the words to remove and with those to append.
KDUMP_COMMANDLINE=""
KDUMP_COMMANDLINE_REMOVE="quiet log_buf_len ${CRASH_PARAMETER} ${MODULES_PARAMETER}"
KDUMP_COMMANDLINE_APPEND="irqpoll nr_cpus=1 reset_devices panic=10"
KEXEC_ARGS="-s"
KDUMP_BOOTDIR="/boot"
KDUMP_IMG="vmlinuz"
`;

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
    ...kdumpFiles(),
    "/etc/sysconfig/kdump": text(SYSCONFIG_KDUMP),
    "/etc/crash.conf": text(crashConf()),
  });
}
