/** Production's kernel in which sysrq c does what a test wants to see from within, instead of panic(). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { runAsc } from "../../tools/build/compile.ts";
import { linkTarget } from "../../tools/build/pipeline.ts";
import { loadLayout, ROOT } from "../../tools/build/specs.ts";

const SYSRQ = "kernel-wasm/drivers/tty/sysrq.ts";
const ENTRIES = ["kernel-wasm/include/link.ts", "kernel-wasm/include/addr.ts", "kernel-wasm/entry.ts"];

/**
 * The image; `call` stands in for the panic, `source` is appended to drivers/tty/sysrq.ts. `changes`: what
 * becomes of other files, by path.
 */
export async function sysrqKernel(
  call: string,
  source: string,
  changes: Record<string, (text: string) => string> = {},
): Promise<Uint8Array> {
  const original = readFileSync(join(ROOT, SYSRQ), "utf8");
  const crash = "panic(c`sysrq triggered crash\\n`);";
  expect(original).toContain(crash);
  const files: Record<string, string> = { [SYSRQ]: original.replace(crash, call) + source };
  for (const [path, change] of Object.entries(changes)) {
    const text = readFileSync(join(ROOT, path), "utf8");
    const changed = change(text);
    expect(changed).not.toBe(text);
    files[path] = changed;
  }
  const compiled = await runAsc("production", await loadLayout("production"), ENTRIES, files);
  return linkTarget("production", compiled, {
    kexec_purgatory: new Uint8Array(16),
    kernel_config_data: new Uint8Array(16),
  }).image;
}
