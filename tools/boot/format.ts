/**
 * --format, --level, --compression, --collector: in which form the capture kernel saves the dump, as the
 * core_collector of its kdump.conf.
 */
import { hostCompressors } from "../../runtime/adapter/compressors.ts";
import { UsageError } from "../flags.ts";
import { COLLECTOR_FILE, CORE_COLLECTOR_DEFAULT } from "../initrd/capture.ts";

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
  /** A component that is the core_collector: a file of the host. */
  collector?: string;
}

/** The values of the three flags. UsageError for what makedumpfile, or this engine, cannot do. */
export function parseFormat(get: (flag: string) => string | undefined): DumpFormat {
  const collector = get("--collector");
  if (collector !== undefined) return parseCollector(get, collector);
  if (get("--collector-args") !== undefined)
    throw new UsageError("--collector-args: whose? --collector FILE");
  const name = get("--format") ?? "elf";
  const format = FORMATS.find((it) => it === name);
  if (format === undefined) throw new UsageError(`--format ${name}: the formats are ${FORMATS.join(", ")}`);
  const level = parseLevel(get("--level") ?? "0");
  const compression = parseCompression(get("--compression"), format);
  return { format, level, compression, core_collector: coreCollector(format, level, compression) };
}

/** What a component writes, it alone knows. */
function parseCollector(get: (flag: string) => string | undefined, collector: string): DumpFormat {
  const other = ["--format", "--level", "--compression", "--truth"].find((flag) => get(flag) !== undefined);
  if (other !== undefined)
    throw new UsageError(`${other} and --collector: what is saved, the collector decides`);
  if (collector === "") throw new UsageError("--collector wants the name of a file");
  const core_collector = `${COLLECTOR_FILE} ${get("--collector-args") ?? ""}`.trim();
  return { format: "elf", level: 0, compression: "none", core_collector, collector };
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
