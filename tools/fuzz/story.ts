/** What a workload leaves for whoever looks at the crashed machine. */

/** The machine did something else than the host's own record says that it must. */
export class Disagreement extends Error {}

/** What the host knows of the machine at the crash. */
export interface Story {
  /** What the machine did otherwise than it must. */
  disagreements: string[];
  /** Processes that nobody has waited for. */
  children: Set<number>;
  /** Whether the OOM killer may have taken a process: it tells, where it is not kept quiet. */
  killed(pid: number): boolean;
  /** Whether the process that was just waited for had another parent, which is gone. */
  adopted(pid: number): boolean;
  /** init itself could not go on for want of memory. */
  starved: boolean;
}
