/**
 * Makes the example in JavaScript a component:
 *
 *     node examples/collectors/build.mjs log-and-stacks/collector.js OUTPUT.wasm
 *
 * ComponentizeJS puts SpiderMonkey into it, 12 MB. Without its features it asks for nothing of WASI.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { componentize } from "@bytecodealliance/componentize-js";

const [source, output] = process.argv.slice(2);
const { component } = await componentize({
  sourcePath: join(import.meta.dirname, source),
  witPath: join(import.meta.dirname, "../../kernel-wasm/collector/collector.wit"),
  worldName: "collector",
  disableFeatures: ["stdio", "random", "clocks", "http", "fetch-event"],
});
writeFileSync(output, component);
