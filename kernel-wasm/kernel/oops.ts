/** The life of an oops outside of the registers and traces: its count and its end marker. */
import { LOGLEVEL_WARNING } from "../include/generated/constants";
import { sym } from "../include/generated/symbols";
import { printk_level } from "./printk/printk";

export function oops_enter(): void {
  sym.oops_count.counter += 1;
}

export function print_oops_end_marker(): void {
  printk_level(LOGLEVEL_WARNING, c`---[ end trace %016llx ]---\n`, 0);
}

export function oops_exit(): void {
  print_oops_end_marker();
}
