/**
 * The commands that crash runs on our dumps, and which symbol of the kernel a group of them needs: without it
 * crash says so in its warnings, and the commands are not asked for.
 */
export const COMMANDS: readonly string[] = [
  "sys",
  "sys -t",
  "log",
  "log -m",
  "log -T",
  "ps",
  "ps -l",
  "ps -t 2",
  "ps -g 2",
  "ps -m",
  "ps -p 2",
  "ps -S",
  "ps -a 1",
  "ps -r 1",
  "ps -s",
  "ps -k",
  "bt",
  "bt -l",
  "bt -c 0",
  "bt 1",
  "bt 2",
  "foreach bt",
  "set 2",
  "task -R pid,comm 2",
  "runq",
  "runq -t",
  "mach",
  "mach -m",
  "kmem -i",
  "kmem -s",
  "kmem -S task_struct",
  "kmem -f",
  "kmem -p 0xffff888000400000",
  "kmem 0xffff888000400c00",
  "kmem -n",
  "kmem -z",
  "kmem -v",
  "kmem -V",
  "kmem -o",
  "kmem -g 200",
  "vtop 0xffffffff80100000",
  "vtop 0xffff888000424780",
  "vtop 0xffffffffa0000000",
  "rd linux_banner 8",
  "rd -S init_task 4",
  "struct task_struct.pid,comm init_task",
  "struct rq.curr,clock runqueues:a",
  "p nr_threads",
  "p runqueues:0",
  "p init_task.comm",
  "list -H slab_caches kmem_cache.list -s kmem_cache.size",
  "list task_struct.tasks -s task_struct.pid -h init_task",
  "tree -t xarray -r pid_namespace.idr init_pid_ns",
  "sym panic",
  "sym ffffffff80100110",
  "dis panic 3",
  "mod",
  "mod -t",
  "files 1",
  "mount",
  "vm 1",
  "vm -p 1",
  "vtop -u -c 1 0x400000",
  "net",
  "net -s 1",
  "dev",
  "timer",
  "irq",
  "irq -s",
  "irq -a",
  "sig 2",
  "waitq async_done",
  "swap",
  "fuser /",
];

/** What no answer may have in it. */
export const COMPLAINT =
  /cannot|invalid|not found|do not exist|unknown|unrecognized|zero-size|not initialized|seek error/i;

export interface Need {
  symbol: string;
  commands: RegExp;
  /** What crash says at its start without it. */
  warnings?: string[];
}

export const NEEDS: readonly Need[] = [
  {
    symbol: "modules",
    commands: /^mod/,
    warnings: ["cannot determine how modules are linked", "no kernel module access"],
  },
  { symbol: "init_net", commands: /^net/, warnings: ["net_init: unknown device type for net device"] },
  { symbol: "vmap_area_list", commands: /^kmem -v$/ },
  { symbol: "major_names", commands: /^dev$/ },
  { symbol: "timer_bases", commands: /^timer$/ },
  { symbol: "irq_desc", commands: /^irq/ },
  { symbol: "swap_info", commands: /^swap$/ },
];
