/** How the first kernel of a run comes to its end: the crash that its plan names, by whoever asks for it. */

import { O_WRONLY, type Proc, type Program, SIGKILL, SIGSEGV } from "../../runtime/user/proc.ts";
import { CRASH_TYPES } from "../init/crashes.ts";
import { takeMemory } from "./hardship.ts";
import { INIT_EXIT, NMI, OOM, type Plan } from "./plan.ts";
import type { Story } from "./story.ts";

const CORE_DUMPED = 0x80;
const MODULE_TIMER = "module-timer";
/** By then an NMI, or a timer's crash, has come. */
export const PATIENCE_MS = 1000;

/** How a program may end that has asked for a crash: as if nothing was, or killed by an oops. */
export const WRITER_STATUSES = [0, SIGSEGV, SIGSEGV | CORE_DUMPED];

/** Or killed for want of memory, or without the memory to ask. */
export const STARVED = [SIGKILL, 1 << 8];

/** init ends, in the middle of whatever it does. */
export class InitExit extends Error {}

/** Memory to the last page, where that is a panic. */
const exhaustMemory: Program = async (proc) => {
  const fd = await proc.open("/proc/sys/vm/panic_on_oom", O_WRONLY);
  await proc.write(fd, "1");
  return takeMemory(proc);
};

/** The crash. The pid of who asks for it; undefined when that was init, or nobody. */
export async function crash(proc: Proc, plan: Plan, story: Story): Promise<number | undefined> {
  const { moment, writer } = plan;
  if (plan.crash === NMI) {
    if (moment !== "after") story.pressNmi(moment.cpu, moment.delay_ns);
    return undefined;
  }
  if (plan.crash === INIT_EXIT) throw new InitExit();
  if (plan.crash === OOM) return proc.fork(exhaustMemory);
  const trigger = CRASH_TYPES.find(({ name }) => name === plan.crash)?.trigger;
  if (trigger === undefined) return undefined;
  const write: Program = async (self) => {
    if (moment !== "after" && writer === "child") await self.sleep(moment.delay_ns / 1e6);
    const fd = await self.open(trigger.path, O_WRONLY);
    await self.write(fd, trigger.text);
    // A timer's comes later.
    if (plan.crash === MODULE_TIMER) await self.sleep(PATIENCE_MS);
    return 0;
  };
  if (writer === "child") return proc.fork(write);
  await write(proc);
  return undefined;
}
