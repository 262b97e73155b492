/**
 * findStrings: where a table of strings (.debug_str, .strtab) has given names. The table is read once from
 * end to end in pieces; what is compared later is an offset, not text.
 *
 * Linkers let a string be the end of a longer one ("head" in "list_head"), so each string is compared from
 * its end, in a tree of the names spelt backwards.
 */
import { type ByteSource, readExactly } from "../dump/bytes.ts";
import { ADVICE_DAMAGED, DumpError, hex } from "../dump/error.ts";

const PIECE = 1024 * 1024;
/** Linkers merge equal strings: more than this, and the table is made to fill memory. */
const FOUND_MAX = 1 << 20;

interface Node {
  name: string | null;
  next: Map<number, Node>;
}

/** Every offset at which one of the names stands, with its NUL behind. Throws DumpError. */
export async function findStrings(table: ByteSource, names: Iterable<string>): Promise<Map<number, string>> {
  const root: Node = { name: null, next: new Map() };
  let longest = 0;
  for (const name of names) {
    const bytes = new TextEncoder().encode(name);
    longest = Math.max(longest, bytes.length);
    let node = root;
    for (const byte of bytes.reverse()) {
      const next = node.next.get(byte) ?? { name: null, next: new Map() };
      node.next.set(byte, next);
      node = next;
    }
    node.name = name;
  }
  const found = new Map<number, string>();
  for (let from = 0; from < table.size; from += PIECE) {
    // What a name that ends in this piece may have of the one before.
    const before = Math.min(from, longest);
    const length = before + Math.min(PIECE, table.size - from);
    const bytes = await readExactly(table, from - before, length, "strings");
    for (let end = bytes.indexOf(0, before); end >= 0; end = bytes.indexOf(0, end + 1)) {
      let node: Node | undefined = root;
      for (let at = end - 1; at >= 0; at--) {
        node = node.next.get(bytes[at]!);
        if (node === undefined) break;
        if (node.name !== null) found.set(from - before + at, node.name);
        if (found.size > FOUND_MAX) {
          const where = `${table.name}, offset ${hex(from)}`;
          throw new DumpError(where, `"${node.name}" again and again: expected it once`, ADVICE_DAMAGED);
        }
      }
    }
  }
  return found;
}
