/**
 * The configuration as /proc/config.gz gives it: Linux's .config text, gzipped, between the marks by which
 * scripts/extract-ikconfig finds it in an image.
 */
import { gzipSync } from "node:zlib";
import { type ConfigValue, KERNEL_RELEASE } from "../../kernel-wasm/abi/config.ts";

export function configText(values: Readonly<Record<string, ConfigValue>>): string {
  const lines = Object.entries(values).map(([name, value]) => {
    if (value === true) return `${name}=y`;
    return value === false ? `# ${name} is not set` : `${name}=${value}`;
  });
  const title = `# Linux/x86_64 ${KERNEL_RELEASE} Kernel Configuration`;
  return ["#", "# Automatically generated file; DO NOT EDIT.", title, "#", ...lines, ""].join("\n");
}

/** IKCFG_ST, the gzip file, IKCFG_ED. The same text gives the same bytes on every system. */
export function ikconfig(values: Readonly<Record<string, ConfigValue>>): Uint8Array {
  const packed = new Uint8Array(gzipSync(configText(values), { level: 9 }));
  packed.set([0, 0, 0, 0], 4);
  packed[9] = 3;
  return Buffer.concat([Buffer.from("IKCFG_ST"), packed, Buffer.from("IKCFG_ED")]);
}
