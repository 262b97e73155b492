/** The machines whose dumps the oracles look at: memory, crash regions of many sizes and places, seeds. */
export interface Machine {
  name: string;
  flags: string[];
  memory: number;
  crashkernel: { size: number; base?: number };
}

const MIB = 1 << 20;

/** `more` are further flags; the seed is 1 without them. */
function machine(memory: number, value: string, size: number, base?: number, more = "--seed 1"): Machine {
  const flags = ["--memory", `${memory}M`, "--append", `crashkernel=${value}`, ...more.split(" ")];
  const crashkernel = base === undefined ? { size: size * MIB } : { size: size * MIB, base: base * MIB };
  return { name: `${memory}M crashkernel=${value} ${more}`, flags, memory: memory * MIB, crashkernel };
}

export const MACHINES: readonly Machine[] = [
  // Unfilled: programs of so small a machine would need the low memory in which a test looks for the
  // firmware's words.
  machine(8, "1M", 1, undefined, "--seed 1 --fill 0"),
  machine(8, "2M@5M", 2, 5, "--seed 1 --fill 0"),
  machine(64, "1M", 1),
  machine(64, "8M@16M", 8, 16),
  machine(64, "4M@0x3000000", 4, 48),
  machine(64, "32M-512M:2M,512M-:8M", 2),
  // What the kernel does not clear itself is random then: the tools would see it.
  machine(64, "4M", 4, undefined, "--seed 2 --poweron random"),
  machine(1024, "16M", 16),
  machine(1024, "128M@256M", 128, 256, "--seed 3"),
];
