/**
 * Run by Bun: our makedumpfile with each of the argument lists that its own argument has as JSON, one after
 * another in one process. Bun has every codec to compress with, whichever engine runs the tests.
 */
import { hostProc } from "../../runtime/adapter/index.ts";
import { main } from "../../tools/makedumpfile/main.ts";

for (const args of JSON.parse(process.argv[2]!) as string[][]) {
  const status = await main(hostProc(["makedumpfile", "--message-level", "4", ...args]));
  if (status !== 0) throw new Error(`makedumpfile ${args.join(" ")} ended with ${status}`);
}
