/** The machines whose dumps the debuggers look at. */
export const DEBUGGED: readonly { name: string; flags: string[] }[] = [
  { name: "8M", flags: ["--memory", "8M", "--append", "crashkernel=1M", "--seed", "1"] },
  { name: "64M", flags: ["--memory", "64M", "--seed", "2", "--poweron", "random"] },
  { name: "1G", flags: ["--memory", "1G", "--seed", "3"] },
];
