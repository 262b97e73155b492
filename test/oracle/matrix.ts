/**
 * The machines whose dumps the oracles look at: memory, and crash regions of several sizes at several
 * places.
 */
export interface Machine {
  name: string;
  flags: string[];
  memory: number;
  crashkernel: { size: number; base?: number };
}

const MIB = 1 << 20;

function machine(memory: number, value: string, size: number, base?: number): Machine {
  const flags = ["--memory", `${memory}M`, "--append", `crashkernel=${value}`, "--seed", "1"];
  const crashkernel = base === undefined ? { size: size * MIB } : { size: size * MIB, base: base * MIB };
  return { name: `${memory}M crashkernel=${value}`, flags, memory: memory * MIB, crashkernel };
}

export const MACHINES: readonly Machine[] = [
  machine(8, "1M", 1),
  machine(8, "2M@5M", 2, 5),
  machine(64, "1M", 1),
  machine(64, "8M@16M", 8, 16),
  machine(64, "4M@0x3000000", 4, 48),
  machine(64, "32M-512M:2M,512M-:8M", 2),
  machine(1024, "16M", 16),
  machine(1024, "128M@256M", 128, 256),
];
