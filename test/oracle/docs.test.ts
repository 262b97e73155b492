/** docs/debugging.md shows what the debuggers print: numbers apart, which differ from build to build. */
import { readFileSync } from "node:fs";
import { afterAll, expect, it } from "vitest";
import { describeStock } from "../support/stock.ts";
import { DOCUMENT, Dumps, make, transcripts } from "./docs.ts";

const FOUND = transcripts(readFileSync(DOCUMENT, "utf8"));

/** Words alone: addresses, lines, sizes and times are N, and the blanks that they need are one. */
const words = (text: string): string =>
  text
    .replaceAll(/(?<![A-Za-z_])(0x)?[0-9a-f]*\d[0-9a-f.:]*\b/g, "N")
    .replaceAll(/ *\.\.\.$/gm, " ...")
    .replaceAll(/[ \t]+/g, " ");

describeStock(["gdb", "crash", "drgn"], "the transcripts of docs/debugging.md", () => {
  const dumps = new Dumps();
  afterAll(() => dumps.remove());

  it("are found", () => expect(FOUND.length).toBeGreaterThan(8));

  it.each(FOUND.map((it) => [`${it.tool}, ${it.machine}: ${it.lines.join("; ")}`, it] as const))(
    "%s (npm run oracle:docs makes it)",
    (_name, transcript) => {
      expect(words(transcript.text)).toBe(words(make(transcript, dumps)));
    },
  );
});
