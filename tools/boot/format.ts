/**
 * --format, --level, --compression: in which form the capture kernel saves the dump, as the core_collector of
 * its kdump.conf.
 */
import { hostCompressors } from "../../runtime/adapter/compressors.ts";
import { UsageError } from "../flags.ts";
import { CORE_COLLECTOR_DEFAULT } from "../initrd/capture.ts";

export const FORMATS = ["elf", "kdump", "flattened"] as const;
/** makedumpfile's options by the compressors' names. */
const COMPRESSION_OPTIONS = { lzo: "-l", zlib: "-c", snappy: "-p", zstd: "-z", none: undefined } as const;
const LEVEL_MAX = 31;
/** Results and errors, but no progress, which would be another text each time. */
const MESSAGE_LEVEL = 6;

export interface DumpFormat {
  /** ELF; kdump-compressed; that as a stream, as makedumpfile -F writes it. */
  format: (typeof FORMATS)[number];
  /** makedumpfile's dump level. */
  level: number;
  compression: keyof typeof COMPRESSION_OPTIONS;
  /** The line of kdump.conf. */
  core_collector: string;
}

/** The values of the three flags. UsageError for what makedumpfile, or this engine, cannot do. */
export function parseFormat(get: (flag: string) => string | undefined): DumpFormat {
  const name = get("--format") ?? "elf";
  const format = FORMATS.find((it) => it === name);
  if (format === undefined) throw new UsageError(`--format ${name}: the formats are ${FORMATS.join(", ")}`);
  const level = parseLevel(get("--level") ?? "0");
  const compression = parseCompression(get("--compression"), format);
  return { format, level, compression, core_collector: coreCollector(format, level, compression) };
}

function parseLevel(text: string): number {
  if (/^\d{1,2}$/.test(text) && Number(text) <= LEVEL_MAX) return Number(text);
  throw new UsageError(`--level ${text}: makedumpfile's dump levels are 0 to ${LEVEL_MAX}`);
}

function parseCompression(text: string | undefined, format: DumpFormat["format"]): DumpFormat["compression"] {
  if (text === undefined) return format === "elf" ? "none" : "lzo";
  const names = Object.keys(COMPRESSION_OPTIONS) as DumpFormat["compression"][];
  const compression = names.find((it) => it === text);
  if (compression === undefined) throw new UsageError(`--compression ${text}: one of ${names.join(", ")}`);
  if (format === "elf" && compression !== "none") {
    throw new UsageError(`--compression ${text}: ELF has none, --format kdump has`);
  }
  if (compression === "zstd" && hostCompressors().zstd === undefined) {
    throw new UsageError(`--compression zstd: this engine has no Zstandard, Node has it from 22.15 on`);
  }
  return compression;
}

function coreCollector(
  format: DumpFormat["format"],
  level: number,
  compression: DumpFormat["compression"],
): string {
  if (format === "elf" && level === 0) return CORE_COLLECTOR_DEFAULT;
  const form = format === "elf" ? "-E" : format === "flattened" ? "-F" : undefined;
  const options = [form, COMPRESSION_OPTIONS[compression]].filter((it) => it !== undefined);
  return ["makedumpfile", ...options, "--message-level", MESSAGE_LEVEL, "-d", level].join(" ");
}
