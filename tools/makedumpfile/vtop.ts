/** makedumpfile --vtop: where a virtual address lies, by the page tables, in the original's words. */
import { AddressSpace, type TableLevel } from "../dump/address-space.ts";
import { DumpError } from "../dump/error.ts";
import type { KernelDump } from "../dump/memory-source.ts";
import type { Messages } from "./messages.ts";

/** What the original calls an entry in its errors. */
const ENTRY: Record<TableLevel, string> = {
  PGD: "pgd",
  P4D: "p4d_pte",
  PUD: "pud_pte",
  PMD: "pmd_pte",
  PTE: "pte",
};
/** NOT_PADDR: what is printed for no address. */
const NOT_PADDR = 2n ** 64n - 1n;
const PRESENT = 1n;

/** Says it; an address that is not mapped is no error. */
export async function vtop(dump: KernelDump, virtual: bigint, messages: Messages): Promise<void> {
  const wide = (value: number | bigint): string => value.toString(16).padStart(16);
  let lines = "";
  let wrong = "";
  let physical = NOT_PADDR;
  let absent: TableLevel | null = null;
  try {
    const found = await new AddressSpace(dump).walk(virtual, (level, at, entry) => {
      lines += `  ${level} : ${wide(at)} => ${wide(entry)}\n`;
      absent = (entry & PRESENT) === 0n ? level : null;
    });
    physical = BigInt(found.physical);
  } catch (error) {
    if (!(error instanceof DumpError)) throw error;
    wrong = absent === null ? error.message : `__vtop4_x86_64: Can't get a valid ${ENTRY[absent]}.`;
  }
  const title = `\nTranslating virtual address ${virtual.toString(16)} to physical address.\n`;
  await messages.common(`${title}${lines}`);
  if (wrong !== "") await messages.error(`${wrong}\n`);
  await messages.common(`VIRTUAL           PHYSICAL\n${wide(virtual)}  ${physical.toString(16)}\n\n`);
}
