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
  /** Presses the machine's NMI button: CPU `cpu` gets one so much of the machine's time later. */
  pressNmi(cpu: number, after_ns: number): void;
  /** Who was to ask for the crash has been killed before, or had no memory for it. */
  unasked: boolean;
  /** init itself could not go on for want of memory. */
  starved: boolean;
}
