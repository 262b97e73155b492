/**
 * C strings. In asc's output each is an imported constant of module "string" whose field is the text itself.
 * placeStrings() lays out those that code still refers to, once each and with common ends shared, as a linker
 * does with SHF_MERGE | SHF_STRINGS; rewrite.ts puts their addresses where the constants were read.
 */
import type { ScannedFunction } from "./scan.ts";

/** Imports of this module are strings. */
export const STRING_MODULE = "string";

export interface StringPlan {
  /** What .rodata gets; its last byte is a NUL. */
  bytes: Uint8Array;
  /** Text -> how far before the end of the bytes it begins. */
  distances: ReadonlyMap<string, number>;
}

function countUses(functions: readonly ScannedFunction[]): Map<string, number> {
  const uses = new Map<string, number>();
  for (const { sites } of functions) {
    for (const site of sites) {
      if (site.kind === "string") uses.set(site.text, (uses.get(site.text) ?? 0) + 1);
    }
  }
  return uses;
}

/** Text -> the longest text that ends with it. */
function findHolders(texts: Iterable<string>): Map<string, string> {
  const backwards = [...texts].map((text) => [...text].reverse().join("")).sort();
  const holders = new Map<string, string>();
  let last = "";
  for (const reversed of backwards.reverse()) {
    // In this order a text comes right behind those that it is an end of.
    if (holders.size === 0 || !last.startsWith(reversed)) last = reversed;
    const text = (it: string): string => [...it].reverse().join("");
    holders.set(text(reversed), text(last));
  }
  return holders;
}

/** A distance is an operand in the code: what is used most, for its length, lies next to the end. */
export function placeStrings(functions: readonly ScannedFunction[]): StringPlan {
  const uses = countUses(functions);
  const holders = findHolders(uses.keys());
  const weights = new Map<string, number>();
  for (const [text, count] of uses) {
    const holder = holders.get(text) ?? text;
    weights.set(holder, (weights.get(holder) ?? 0) + count / (holder.length + 1));
  }
  const order = [...weights].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  const starts = new Map<string, number>();
  let end = 0;
  for (const [holder] of order) {
    end += holder.length + 1;
    starts.set(holder, end);
  }
  const bytes = new Uint8Array(end);
  for (const [holder, distance] of starts) bytes.set(new TextEncoder().encode(holder), end - distance);
  const distances = new Map<string, number>();
  for (const [text, holder] of holders) {
    distances.set(text, (starts.get(holder) ?? 0) - (holder.length - text.length));
  }
  return { bytes, distances };
}
