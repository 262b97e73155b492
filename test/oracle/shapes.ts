/**
 * The machines whose dumps every stock tool looks at: 1, 2 and 4 CPUs, 8M to 1G, quiet and busy ones. Each is
 * made once in a run of the tests, in the file of its number of CPUs (`cpus-*.test.ts`).
 */
import type { Truth, VmcoreOptions } from "../../tools/fixtures/types.ts";

export interface Shape {
  /** As the README's table names it. */
  name: string;
  /** What there is to see, for that table. */
  about: string;
  options: VmcoreOptions & { cpus: number; memory: string; seed: number };
  /** What must be so at the crash: the seed is the first, from that of the options on, with which it is. */
  wanted: (truth: Truth) => boolean;
}

/** No page of the kernel's own is poisoned: what lies there would be in no compressed dump. */
const readable = ({ log }: Truth): boolean => !log.some((line) => / kernel page: Ignored$/.test(line));

/** Tasks run on so many CPUs, and others wait for one. */
const busy =
  (cpus: number) =>
  ({ cpus: all }: Truth): boolean =>
    all.filter(({ pid }) => pid !== 0).length === cpus &&
    all.some(({ queue }) => queue.length > 0) &&
    all.every(({ pid, queue }) => !queue.includes(pid));

/** All of the log on the console, so that the host's record of it is whole. */
const LOUD = "loglevel=8";

function shape(
  cpus: number,
  memory: string,
  about: string,
  more: VmcoreOptions & { seed: number },
  wanted: Shape["wanted"] = () => true,
): Shape {
  const append = [LOUD, more.append].filter((it) => it !== undefined).join(" ");
  const name = `${cpus} CPU${cpus === 1 ? "" : "s"}, ${memory}`;
  return { name, about, options: { ...more, cpus, memory, append }, wanted };
}

export const SHAPES: readonly Shape[] = [
  shape(
    1,
    "8M",
    "a third full, pages poisoned and given back",
    {
      seed: 6,
      fill: 30,
      hwpoison: 6,
      offline: 11,
      append: "crashkernel=1M",
    },
    readable,
  ),
  shape(
    1,
    "64M",
    "tasks of many states, pipes, a huge page",
    { seed: 4, workload: 150, hugepages: 1, hwpoison: 5, offline: 7 },
    (truth) => readable(truth) && truth.tasks.some(({ files }) => files.some(({ path }) => path === "pipe")),
  ),
  shape(
    2,
    "64M",
    "tasks run on both CPUs, others wait; a module is loaded",
    { seed: 5, workload: 300, modules: ["crasher"], poweron: "random" },
    busy(2),
  ),
  shape(2, "256M", "half full", { seed: 5, workload: 400, fill: 50, mix: { cache: 2, user: 1 } }),
  shape(
    4,
    "8M",
    "tasks run on all CPUs, others wait",
    { seed: 4, workload: 200, append: "crashkernel=1M" },
    busy(4),
  ),
  shape(
    4,
    "64M",
    "tasks run on three CPUs, one is idle; pages of all classes",
    { seed: 4, workload: 400, hugepages: 1, hwpoison: 5, offline: 7, poweron: "random" },
    (truth) => readable(truth) && truth.cpus.filter(({ pid }) => pid === 0).length === 1,
  ),
  shape(4, "1G", "nearly empty", { seed: 3, workload: 400, append: "crashkernel=16M" }),
];

/** Those of so many CPUs. */
export const shapesOf = (cpus: number): Shape[] => SHAPES.filter(({ options }) => options.cpus === cpus);
