/** What crash and drgn find by different ways in the same dump: they agree. */
import { expect } from "vitest";
import type { Feature } from "../features.ts";
import type { Questions } from "../questions.ts";
import { DUMPS } from "../table.ts";
import { byTask, names, said } from "./said.ts";

export function asCrash(drgn: Questions): Feature[] {
  const features: Feature[] = [];
  /** `commands` are crash's; `told` makes of what it says to them what drgn answers. */
  function same(name: string, body: string, told: (said: (command: string) => string) => unknown): void {
    const ask = drgn.question<unknown>(body);
    features.push({
      name: `as crash: ${name}`,
      kinds: DUMPS,
      body: (dump) => {
        expect(told((command) => said(dump, command))).toEqual(ask(dump));
      },
    });
  }

  same(
    "`timer`",
    `def timers(cpu):
  base = per_cpu(prog["timer_bases"], cpu)[0]
  for vector in base.vectors:
    for timer in hlist_for_each_entry("struct timer_list", vector.address_of_(), "entry"):
      yield [timer.expires.value_(), prog.symbol(timer.function.value_()).name]
return [prog["jiffies_64"].value_(), [sorted(timers(cpu)) for cpu in for_each_online_cpu(prog)]]`,
    (crash) => {
      const [head = "", ...bases] = crash("timer").split(/^TIMER_BASES\[\d+\]\[BASE_STD\].*$/m);
      const timers = bases.map((part) =>
        [...part.matchAll(/^ +(\d+) +-?\d+ +\w{16} +\w{16} +<(\w+)>$/gm)].map(([, at, name]) => [+at!, name]),
      );
      return [Number(/^\d+$/m.exec(head)![0]), timers];
    },
  );

  same(
    "`irq`, `irq -s`",
    `irqs = {}
for number in range(prog["irq_desc"].type_.length):
  action = prog["irq_desc"][number].action
  if action: irqs[number] = action.name.string_().decode()
return irqs`,
    (crash) => {
      const named = crash("irq").matchAll(/^ +(\d+) +\w{16} +\w{16} +"(.*)"$/gm);
      const irqs = Object.fromEntries([...named].map(([, number, name]) => [number, name]));
      const counted = crash("irq -s").matchAll(/^ +(\d+):.* (\S+)$/gm);
      expect(Object.fromEntries([...counted].map(([, number, name]) => [number, name]))).toEqual(irqs);
      return irqs;
    },
  );

  same(
    "`dev`, `net`",
    `majors = []
for slot in prog["chrdevs"]:
  while slot:
    majors.append([slot.major.value_(), slot.name.string_().decode()])
    slot = slot.next
devices = list_for_each_entry("struct net_device", prog["init_net"].dev_base_head.address_of_(), "dev_list")
return [sorted(majors), [d.name.string_().decode() for d in devices]]`,
    (crash) => {
      const [characters = ""] = crash("dev").split(/^BLKDEV/m);
      const majors = [...characters.matchAll(/^ +(\d+) +(\S+) /gm)].map(([, major, name]) => [+major!, name]);
      return [majors, [...crash("net").matchAll(/^\w{16} +(\w+) /gm)].map(([, name]) => name)];
    },
  );

  same(
    "`kmem -v`: vmalloc areas",
    `areas = list_for_each_entry("struct vmap_area", prog["vmap_area_list"].address_of_(), "list")
return ["%x - %x" % (a.va_start.value_(), a.va_end.value_()) for a in areas]`,
    (crash) => [...crash("kmem -v").matchAll(/^\w{16} +\w{16} +(\w{16} - \w{16}) /gm)].map(([, it]) => it),
  );

  same(
    "`foreach bt`: idle tasks that do not run",
    `idle = [idle_task(prog, cpu) for cpu in for_each_online_cpu(prog)]
running = [per_cpu(prog["runqueues"], cpu).curr for cpu in for_each_online_cpu(prog)]
waiting = [t for t in idle if t not in running]
return {t.comm.string_().decode(): [f.name for f in prog.stack_trace(t) if f.name] for t in waiting}`,
    (crash) => {
      const active = new Set([...crash("ps -A").matchAll(/\[(swapper\/\d+)\]/g)].map(([, name]) => name));
      const stacks = [...byTask(crash("foreach bt"))].filter(([name]) => typeof name === "string");
      const waiting = stacks.filter(([name]) => !active.has(name as string));
      return Object.fromEntries(waiting.map(([name, trace]) => [name, names(trace)]));
    },
  );

  same(
    "`sig`, `ps -r`: signals and limits",
    `task = find_task(prog, 2)
limits = find_task(prog, 1).signal.rlim
return [[a.sa.sa_handler.value_() for a in task.sighand.action], limits[7].rlim_cur.value_(),
  limits[7].rlim_max.value_()]`,
    (crash) => {
      const handlers = [...crash("sig 2").matchAll(/^ ?\[\d+\] \w{16} +SIG_(DFL|IGN) /gm)];
      const [, now, most] = /^ +NOFILE +(\d+) +(\d+) *$/m.exec(crash("ps -r 1"))!;
      return [handlers.map(([, name]) => (name === "IGN" ? 1 : 0)), Number(now), Number(most)];
    },
  );

  same(
    "`struct rq.curr,clock runqueues:a`, `kmem -o`",
    `return [["%x" % per_cpu(prog["runqueues"], cpu).address_of_().value_(),
  "%#x" % per_cpu(prog["runqueues"], cpu).curr.value_(), per_cpu(prog["runqueues"], cpu).clock.value_(),
  "%x" % prog["__per_cpu_offset"][cpu].value_()] for cpu in for_each_online_cpu(prog)]`,
    (crash) => {
      const queues = crash("struct rq.curr,clock runqueues:a").matchAll(
        /^\[\d+\]: (\w+)\n {2}curr = (\w+)(?: <\w+>)?,\n {2}clock = (\d+),$/gm,
      );
      const offsets = [...crash("kmem -o").matchAll(/^ +CPU \d+: (\w+)$/gm)].map(([, at]) => at);
      return [...queues].map(([, at, curr, clock], cpu) => [at, curr, Number(clock), offsets[cpu]]);
    },
  );
  return features;
}
