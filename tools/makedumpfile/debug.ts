/** What makedumpfile -D tells of a dump, in the original's words: loads, VMCOREINFO, the memory map. */
import { AddressSpace } from "../dump/address-space.ts";
import { ElfCore } from "../dump/elf.ts";
import { DumpError } from "../dump/error.ts";
import type { KernelDump } from "../dump/memory-source.ts";
import { vmcoreinfoOrNull } from "../dump/vmcoreinfo.ts";
import { MemMap } from "./mem-map.ts";

export async function debugText(dump: KernelDump): Promise<string> {
  const wide = (value: number | bigint): string => value.toString(16).padStart(16);
  const lines: string[] = [];
  if (dump instanceof ElfCore) {
    const columns = ["", "phys_start", "phys_end", "virt_start", "virt_end"];
    lines.push(columns.map((it, n) => it.padStart(n === 0 ? 8 : 16)).join(" "));
    for (const [n, { physical, virtual, memorySize }] of dump.loads.entries()) {
      const start = physical ?? 0;
      const ends = [start, start + memorySize, virtual, virtual + BigInt(memorySize)];
      lines.push(`LOAD[${String(n).padStart(2)}] ${ends.map(wide).join(" ")}`);
    }
  }
  const info = vmcoreinfoOrNull(dump);
  const { pages } = (await dump.pages()).exist;
  if (info !== null) {
    lines.push("VMCOREINFO   :");
    for (const line of info.text.split("\n")) if (line.includes("=")) lines.push(`  ${line}`);
  }
  lines.push(`page_size    : ${dump.pageSize}`, "");
  if (info !== null && dump.machine === "x86_64") {
    const source = info.has("NUMBER(phys_base)") ? "vmcoreinfo" : "pt_load";
    const space = new AddressSpace(dump);
    lines.push(`phys_base    : ${BigInt.asUintN(64, space.physBase).toString(16)} (${source})`, "");
    lines.push(`max_mapnr    : ${pages.toString(16)}`, "");
    try {
      const map = await MemMap.open(space, info, pages);
      lines.push("Memory type  : SPARSEMEM_EX", "");
      lines.push(`${"mem_map".padStart(30)} ${"pfn_start".padStart(16)} ${"pfn_end".padStart(16)}`);
      let n = 0;
      for (const { pfn, end, address } of map.arrays()) {
        const row = [address, pfn, Math.min(end, pages)].map(wide).join(" ");
        lines.push(`mem_map[${String(n++).padStart(4)}] ${row}`);
      }
    } catch (error) {
      if (!(error instanceof DumpError)) throw error;
      lines.push(`no memory map: ${error.what}`);
    }
  }
  return `${lines.join("\n")}\n`;
}
