/**
 * tools/dump in browsers: bundled for one, it gives there what it gives here. In a bare context that has the
 * language and the web's globals alone (no process, no modules, no Buffer), and in Chromium where there is
 * one.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compressed, flattened, namedKernel } from "../support/dumps.ts";
import { findCommand, run } from "../support/stock.ts";
import { type PageReport, readDump } from "./browser-page.ts";

const HERE = dirname(fileURLToPath(import.meta.url));
const BUN = join(HERE, "../../node_modules/.bin/bun");
const CHROMIUM = ["chromium", "chromium-browser", "google-chrome"].map(findCommand).find((it) => it !== null);

let directory: string;
let script: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "wkdump-browser-"));
  const bundle = join(directory, "page.js");
  const flags = ["--target", "browser", "--format", "iife", "--outfile", bundle];
  const built = run(BUN, ["build", join(HERE, "browser-page.ts"), ...flags]);
  expect(built.stderr).toBe("");
  script = readFileSync(bundle, "utf8");
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const core = namedKernel().build();
const DUMPS: [string, () => Promise<Uint8Array>][] = [
  ["an ELF core", async () => core],
  ["zlib", () => compressed(core, { codec: "zlib" })],
  ["lzo", () => compressed(core, { codec: "lzo" })],
  ["snappy, without zero pages' bytes", () => compressed(core, { codec: "snappy", level: 1 })],
  ["a flattened dump, backwards", async () => flattened(core, 4096, (pieces) => pieces.reverse())],
];

/** The page's script and the dump, in one file: a page of file: may fetch nothing. */
function page(dump: Uint8Array): string {
  const text = Buffer.from(dump).toString("base64");
  const main = `
    const dump = Uint8Array.from(atob("${text}"), (c) => c.charCodeAt(0));
    readDump(dump).then(JSON.stringify, String).then((text) => (document.body.textContent = text));`;
  return `<!doctype html><body></body><script>${script.replaceAll("</script", "<\\/script")}</script>
<script>${main}</script>`;
}

const plainText = (html: string): string =>
  html.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

describe("a dump in a browser", () => {
  it.each(DUMPS)("is read and written in a bare context: %s", async (_name, make) => {
    const dump = await make();
    const context = createContext({ WebAssembly, TextDecoder, TextEncoder, atob, dump });
    runInContext(script, context);
    const report = await runInContext("readDump(Uint8Array.from(dump)).then(JSON.stringify)", context);
    const here = await readDump(dump);
    expect(JSON.parse(report)).toEqual(here);
    expect(here.log).toContain("] first\n");
    expect(here.written).toMatchObject({ zstd: null, zlib: expect.any(Number) });
  });

  it.skipIf(CHROMIUM === undefined).each(DUMPS)(
    "is read and written in Chromium: %s",
    async (_name, make) => {
      const dump = await make();
      const file = join(directory, "page.html");
      writeFileSync(file, page(dump));
      const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
      const args = [...flags, "--virtual-time-budget=20000", "--dump-dom", `file://${file}`];
      const { stdout, timedOut } = run(CHROMIUM!, args, { timeout_ms: 60_000 });
      expect(timedOut).toBe(false);
      const [, text = ""] = /<body>(.*?)<\/body>/s.exec(stdout) ?? [];
      const report: PageReport = JSON.parse(plainText(text.replace(/<script>.*/s, "")).trim());
      expect(report).toEqual(await readDump(dump));
    },
  );
});
