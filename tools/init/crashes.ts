/**
 * The ways to crash: what `boot --crash TYPE` takes, and what init writes to which file for it. The initrd
 * carries the table as /etc/crash.conf, so that the machine needs nothing from outside to do it.
 */

export interface CrashType {
  name: string;
  /** The file that sets it off, and what is written there; none: the machine powers off cleanly. */
  trigger?: { path: string; text: string };
  summary: string;
}

export const CRASH_TYPES: readonly CrashType[] = [
  {
    name: "sysrq-c",
    trigger: { path: "/proc/sysrq-trigger", text: "c" },
    summary: "echo c > /proc/sysrq-trigger",
  },
  { name: "none", summary: "no crash: power off cleanly" },
];

export const CRASH_DEFAULT = "sysrq-c";
/**
 * The kernel parameter that names the type; words with a dot are left for programs to read in /proc/cmdline.
 */
export const CRASH_PARAMETER = "wkdump.crash";

/** The text of /etc/crash.conf. */
export function crashConf(): string {
  const lines = CRASH_TYPES.map(({ name, trigger }) =>
    trigger ? `${name} ${trigger.path} ${trigger.text}` : name,
  );
  return `# type, file, what is written to it\n${lines.join("\n")}\n`;
}

/** Reads /etc/crash.conf. */
export function parseCrashConf(text: string): Map<string, CrashType["trigger"]> {
  const types = new Map<string, CrashType["trigger"]>();
  for (const line of text.split("\n")) {
    const [name, path, ...written] = line.replace(/#.*/, "").trim().split(/\s+/);
    if (!name) continue;
    types.set(name, path === undefined ? undefined : { path, text: written.join(" ") });
  }
  return types;
}
