/**
 * The build's command:
 *
 *     bun tools/build/main.ts                   everything, into build/
 *     bun tools/build/main.ts --check TARGET    only generate and compile one target, for work on kernel code
 */
import type { Target } from "../../kernel-wasm/abi/dsl.ts";
import { BuildError, compile } from "./compile.ts";
import type { BuildOptions } from "./pipeline.ts";

const TARGETS = ["purgatory", "capture", "production"];

/** Builds everything; the pipeline is loaded only now because --check needs the compiler alone. */
export async function build(options: BuildOptions = {}): Promise<void> {
  const pipeline = await import("./pipeline.ts");
  await pipeline.build(options);
}

/** The errors that are about the sources, not about the build itself: their message is enough. */
function isSourceError(error: unknown): error is Error {
  return (
    error instanceof BuildError || (error instanceof Error && /^(Layout|Link|Image)Error$/.test(error.name))
  );
}

if (import.meta.main) {
  try {
    const [flag, target] = process.argv.slice(2);
    if (flag === "--check" && TARGETS.includes(target as Target)) {
      const { wasm, layout } = await compile(target as Target);
      console.log(`${target}: ${wasm.length} bytes of wasm, ${layout.dataEnd} of data`);
    } else if (flag === undefined) {
      await build({ log: (step) => console.error(`build: ${step}`) });
    } else {
      console.error(`usage: bun tools/build/main.ts [--check ${TARGETS.join("|")}]`);
      process.exitCode = 2;
    }
  } catch (error) {
    if (!isSourceError(error)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
