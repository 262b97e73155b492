/** makedumpfile --mem-usage: how many pages of each kind memory has, in the original's table. */
import type { KernelDump } from "../dump/memory-source.ts";
import { excludePages } from "./filter.ts";
import { LEVEL_MAX } from "./options.ts";
import { excludeZeroPages } from "./zero-pages.ts";

/** The table. Throws DumpError when the memory map cannot be found. */
export async function memUsage(dump: KernelDump): Promise<string> {
  const { exist, dumped } = await dump.pages();
  const { cache, cachePrivate, user, free, hwpoison, offline } = await excludePages(
    dump,
    LEVEL_MAX,
    exist,
    dumped,
  );
  const zero = await excludeZeroPages(dump, dumped);
  const total = exist.count();
  const kept = total - (zero + cache + cachePrivate + user + free + hwpoison + offline);
  const row = (type: string, tabs: string, pages: number, excludable: string, description: string): string =>
    `${type}${tabs}${String(pages).padEnd(16)}\t${excludable}\t\t${description}`;
  const field = (name: string, value: number): string => `${name}${String(value).padEnd(16)}`;
  const lines = [
    "",
    "TYPE\t\tPAGES\t\t\tEXCLUDABLE\tDESCRIPTION",
    "-".repeat(70),
    row("ZERO", "\t\t", zero, "yes", "Pages filled with zero"),
    row("NON_PRI_CACHE", "\t", cache, "yes", "Cache pages without private flag"),
    row("PRI_CACHE", "\t", cachePrivate, "yes", "Cache pages with private flag"),
    row("USER", "\t\t", user, "yes", "User process pages"),
    row("FREE", "\t\t", free, "yes", "Free pages"),
    row("KERN_DATA", "\t", kept, "no", "Dumpable kernel data "),
    "",
    field("page size:\t\t", dump.pageSize),
    field("Total pages on system:\t", total),
    `${field("Total size on system:\t", total * dump.pageSize)} Byte`,
    "",
  ];
  return `${lines.join("\n")}\n`;
}
