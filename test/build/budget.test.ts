/** The budget of the smallest crash region. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { type ImageHeader, readImageHeader } from "../../runtime/boot/image.ts";
import { captureBudget, describeBudget } from "../../tools/build/budget.ts";
import { captureInitrd } from "../../tools/initrd/capture.ts";

function header(target: string): ImageHeader {
  const file = readFileSync(new URL(`../../build/${target}/image`, import.meta.url));
  return readImageHeader(new DataView(file.buffer, file.byteOffset, file.length), 0, file.length);
}

it("fits, and says where it goes", () => {
  const budget = captureBudget(header("capture"), header("purgatory"), captureInitrd().length);
  expect(budget.total).toBeLessThanOrEqual(1 << 20);
  expect(Object.values(budget.rows).reduce((sum, bytes) => sum + bytes, 0)).toBe(budget.total);
  expect(describeBudget(budget)).toMatch(/backup region 636, .*capture kernel \d+/);
});

it("fails with the list when the capture kernel has grown too large", () => {
  const grown = { ...header("capture"), memSize: 400 << 10 };
  const over = () => captureBudget(grown, header("purgatory"), 4096);
  expect(over).toThrow(/needs 10\d\d KiB of a crash region of 1024 KiB/);
  expect(over).toThrow(/400 KiB {2}capture kernel/);
});
