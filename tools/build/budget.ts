/**
 * What the capture side takes of a crash region of 1 MiB, the smallest that must do. The build prints it and fails
 * when the load does not fit; that the kernel also lives in what is left is for the tests to show.
 */
import { IMAGE_STACK_SIZE, type ImageHeader } from "../../runtime/boot/image.ts";
import { BuildError } from "./compile.ts";

const KiB = 1024;
const PAGE_SIZE = 4096;
/** The region that `crashkernel=1M` reserves. */
const REGION = 1024 * KiB;
/** RAM below 640 KiB but for page 0, which the firmware keeps. */
const BACKUP = 636 * KiB;
const ELFCOREHDR = PAGE_SIZE;
/** boot_params and the command line. */
const BOOT_PARAMS = 2 * PAGE_SIZE;
/** kexec's control page, and the safe copy of VMCOREINFO. */
const CONTROL_PAGES = 2 * PAGE_SIZE;

export interface Budget {
  /** Bytes by what they are for. */
  rows: Record<string, number>;
  total: number;
  /** What the capture kernel has to run in: all but the backup, the ELF headers and its image without the module. */
  running: number;
}

const pages = (bytes: number): number => Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;

/** `initrd`: bytes of the capture kernel's. Throws BuildError when the sum is over. */
export function captureBudget(capture: ImageHeader, purgatory: ImageHeader, initrd: number): Budget {
  const rows = {
    "backup region": BACKUP,
    elfcorehdr: ELFCOREHDR,
    purgatory: pages(purgatory.memSize),
    "boot parameters": BOOT_PARAMS,
    "capture kernel": pages(capture.memSize),
    initrd: pages(initrd),
    "control pages": CONTROL_PAGES,
  };
  const total = Object.values(rows).reduce((sum, bytes) => sum + bytes, 0);
  if (total > REGION) {
    const list = Object.entries(rows).map(
      ([name, bytes]) => `  ${String(bytes / KiB).padStart(5)} KiB  ${name}`,
    );
    throw new BuildError(
      `the capture side needs ${total / KiB} KiB of a crash region of ${REGION / KiB} KiB:\n${list.join("\n")}`,
    );
  }
  // What mm_init.ts gives back: the module's whole pages, but for the boot stack among them.
  const last = capture.wasmOffset + capture.wasmSize;
  const module = Math.floor(last / PAGE_SIZE) * PAGE_SIZE - pages(capture.wasmOffset) - IMAGE_STACK_SIZE;
  return { rows, total, running: REGION - BACKUP - ELFCOREHDR - (pages(capture.memSize) - module) };
}

export function describeBudget({ rows, total, running }: Budget): string {
  const parts = Object.entries(rows).map(([name, bytes]) => `${name} ${bytes / KiB}`);
  return `crash region of 1024 KiB: ${total / KiB} to load (${parts.join(", ")}), ${running / KiB} to run in`;
}
