/** The stock tools, in the order of the README's table. */
import type { Tool } from "../features.ts";
import { CRASH } from "./crash.ts";
import { DRGN } from "./drgn.ts";
import { LIBKDUMPFILE } from "./libkdumpfile.ts";
import { MAKEDUMPFILE } from "./makedumpfile.ts";
import { GDB, READELF, VMCORE_DMESG } from "./readers.ts";

export const TOOLS: readonly Tool[] = [READELF, MAKEDUMPFILE, VMCORE_DMESG, CRASH, GDB, DRGN, LIBKDUMPFILE];
