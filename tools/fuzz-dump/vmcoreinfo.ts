/** Damage to VMCOREINFO's text: a line's number, its name, the line itself. */
import type { Change } from "./mutate.ts";

const VALUES = [
  "",
  "0",
  "1",
  "-1",
  "4096",
  "999999999",
  "99999999999999999999",
  "0x10",
  "text",
  "1e9",
  "1.5",
];
const SYMBOLS = ["0", "ffffffffffffffff", "ffffffff80000000", "ffff888000000000", "7fffffffffff", "g"];

export const vmcoreinfo: Change = (edit, { offset, size }) => {
  const text = new TextDecoder("latin1").decode(edit.file.bytes.subarray(offset, offset + size));
  const lines = text.split("\n");
  const index = edit.below(lines.length);
  const line = lines[index]!;
  const [key = "", value = ""] = line.split("=");
  const kind = edit.below(8);
  if (kind === 0) lines.splice(index, 1);
  else if (kind === 1) lines[index] = edit.pick(lines);
  else if (kind === 2) lines[index] = `${key}x=${value}`;
  else if (kind === 3) lines[index] = `${key}=${edit.pick(lines).split("=")[1] ?? ""}`;
  else if (key.startsWith("SYMBOL")) lines[index] = `${key}=${edit.pick(SYMBOLS)}`;
  else if (kind === 4) lines[index] = `${key}=${edit.number(BigInt(/^\d+$/.test(value) ? value : 0))}`;
  else lines[index] = `${key}=${edit.pick(VALUES)}`;
  const changed = Uint8Array.from(lines.join("\n").padEnd(size, "\n").slice(0, size), (c) => c.charCodeAt(0));
  edit.set(offset, changed, `"${line.slice(0, 60)}" is now "${(lines[index] ?? "").slice(0, 60)}"`);
};
