/** What `wkdump bench` tells of a measurement: rows, and the table that they stand in. */
import type { Samples } from "./measure.ts";

/** One line of the table, and one member of the JSON object. */
export interface Row {
  name: string;
  what: string;
  /** The median with its unit, and the same of what it is compared with. */
  value: string;
  beside: string;
  /** Undefined when there is nothing to compare with. */
  ratio?: number;
  /** More figures that an aim is about, in words. */
  more?: string;
  /** Empty: there is none. */
  aim: string;
  met: boolean;
  /** Where the time goes, in words. */
  parts?: string;
  samples: Record<string, Samples | number | Record<string, Samples>>;
}

/** The rows in columns, each as wide as its widest text. */
export function table(rows: readonly Row[]): string {
  const head = ["", "median", "beside", "ratio", "", "aim", ""];
  const cells = rows.map(({ what, value, beside, ratio, more = "", aim, met }) => {
    return [
      what,
      value,
      beside,
      ratio?.toFixed(2) ?? "-",
      more,
      aim,
      aim === "" ? "" : met ? "met" : "missed",
    ];
  });
  const used = head.map((text, column) => text !== "" || cells.some((row) => row[column] !== ""));
  const widths = head.map((text, column) => {
    return Math.max(text.length, ...cells.map((row) => row[column]?.length ?? 0));
  });
  const line = (row: readonly string[]) =>
    row
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .filter((_, column) => used[column])
      .join("  ");
  return [head, ...cells].map((row) => `${line(row).trimEnd()}\n`).join("");
}
