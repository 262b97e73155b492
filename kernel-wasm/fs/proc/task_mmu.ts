/** /proc/PID/maps (fs/proc/task_mmu.c). */
import {
  ENOMEM,
  GFP_KERNEL,
  MINORBITS,
  PAGE_SHIFT,
  PAGE_SIZE,
  VM_EXEC,
  VM_MAYSHARE,
  VM_READ,
  VM_WRITE,
} from "../../include/generated/constants";
import { mm_struct, seq_file, task_struct, vm_area_struct } from "../../include/generated/structs";
import { mmput } from "../../kernel/fork";
import { down_read, up_read } from "../../kernel/locking/rwsem";
import { get_task_mm } from "../../kernel/sched/task";
import { __get_free_page, free_page } from "../../mm/page_alloc";
import { d_path } from "../d_path";
import { seq_printf, seq_putc, seq_puts } from "../seq_file";

/** Where a line's name begins. */
const NAME_COLUMN: u64 = 73;

function area_name(mm: mm_struct, vma: vm_area_struct): usize {
  if (vma.vm_start <= mm.brk && vma.vm_end >= mm.start_brk) return c`[heap]`;
  return vma.vm_start <= mm.start_stack && vma.vm_end >= mm.start_stack ? c`[stack]` : 0;
}

/** One line of maps. `page` is room for a name. With mmap_lock. */
export function show_map_vma(m: seq_file, mm: mm_struct, vma: vm_area_struct, page: usize): void {
  const line = m.count;
  const flags = vma.vm_flags;
  const filp = vma.vm_file;
  seq_printf(m, c`%08lx-%08lx `, vma.vm_start, vma.vm_end);
  seq_putc(m, flags & VM_READ ? 0x72 : 0x2d);
  seq_putc(m, flags & VM_WRITE ? 0x77 : 0x2d);
  seq_putc(m, flags & VM_EXEC ? 0x78 : 0x2d);
  seq_putc(m, flags & VM_MAYSHARE ? 0x73 : 0x70);
  const dev = isnull(filp) ? 0 : filp.f_inode.i_sb.s_dev;
  seq_printf(
    m, c` %08llx %02x:%02x %lu `, isnull(filp) ? 0 : vma.vm_pgoff << PAGE_SHIFT, dev >> MINORBITS,
    dev & ((1 << MINORBITS) - 1), isnull(filp) ? 0 : filp.f_inode.i_ino,
  );
  const name = isnull(filp) ? area_name(mm, vma) : d_path(filp.f_path, page, PAGE_SIZE);
  if (name) {
    while (m.count - line < NAME_COLUMN && m.count + 1 < m.size) seq_putc(m, 0x20);
    seq_puts(m, name);
  }
  seq_putc(m, 0x0a);
}

export function proc_pid_maps(m: seq_file, task: task_struct): i32 {
  const mm = get_task_mm(task);
  if (isnull(mm)) return 0;
  const page = __get_free_page(GFP_KERNEL);
  const err = page ? show_maps(m, mm, page) : -ENOMEM;
  mmput(mm);
  return err;
}

function show_maps(m: seq_file, mm: mm_struct, page: usize): i32 {
  down_read(mm.mmap_lock);
  for (let vma = mm.mmap; !isnull(vma); vma = vma.vm_next) show_map_vma(m, mm, vma, page);
  up_read(mm.mmap_lock);
  free_page(page);
  return 0;
}
