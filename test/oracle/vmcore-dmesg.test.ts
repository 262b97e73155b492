/** Our vmcore-dmesg and kexec-tools' own print the same bytes for the same vmcore. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { main } from "../../tools/vmcore-dmesg/main.ts";
import {
  LAYOUT_5_15,
  MOCK,
  type MockVmcore,
  mockLogBuf,
  mockPrb,
  PRINTK_LOG,
  writePrintkLog,
} from "../support/log.ts";
import { runProgram } from "../support/proc.ts";
import { describeStock, stock } from "../support/stock.ts";
import { bytesOf, seededRandom } from "../support/vmcore.ts";

function prb(count: number, countBits: number, sizeBits: number): MockVmcore {
  const kernel = mockPrb({ layout: LAYOUT_5_15, countBits, sizeBits });
  const random = seededRandom(count + 1);
  for (let n = 0; n < count; n++) {
    const bytes = Uint8Array.from({ length: random(120) }, () => random(256));
    const state = random(10) === 0 ? "reserved" : random(10) === 0 ? "committed" : "finalized";
    kernel.log.add(bytes, { ts_nsec: BigInt(n) * 1_234_567_891n, state });
  }
  return kernel;
}

function records(): MockVmcore {
  const kernel = mockLogBuf(4096, ["log_buf", "log_buf_len", "log_first_idx", "log_next_idx"]);
  for (const [member, at] of Object.entries(PRINTK_LOG)) {
    kernel.lines.push(member === "size" ? `SIZE(printk_log)=${at}` : `OFFSET(printk_log.${member})=${at}`);
  }
  const texts = Array.from({ length: 30 }, (_, n) => ({
    ts_nsec: BigInt(n) * 1_000_001n,
    text: `record ${n}\t\x07`,
  }));
  kernel.memory.u32(MOCK.logNext, writePrintkLog(kernel.memory, MOCK.text, 4096, 0, texts));
  return kernel;
}

function characters(): MockVmcore {
  const kernel = mockLogBuf(64, ["log_buf", "log_buf_len", "log_end", "logged_chars"]);
  const text = Array.from({ length: 20 }, (_, n) => `<6>line ${n}\n`).join("");
  for (let at = 0; at < text.length; at++) kernel.memory.bytes[MOCK.text + (at % 64)] = text.charCodeAt(at);
  kernel.memory.u32(MOCK.logEnd, text.length);
  kernel.memory.u32(MOCK.loggedChars, 64);
  return kernel;
}

const cases: [string, () => MockVmcore][] = [
  ["an empty ring buffer", () => prb(0, 6, 12)],
  ["a ring buffer with a few records", () => prb(10, 6, 12)],
  ["a ring buffer that wrapped", () => prb(500, 6, 12)],
  ["a ring buffer with few descriptors", () => prb(100, 3, 14)],
  ["records of before 5.10", records],
  ["characters of before 3.5, wrapped", characters],
];

describeStock(["vmcore-dmesg"], "vmcore-dmesg against kexec-tools' own", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "wkdump-"));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it.each(cases)("%s", async (_name, build) => {
    const bytes = build().build();
    const path = join(folder, "vmcore");
    writeFileSync(path, bytes);
    const theirs = stock("vmcore-dmesg", [path], { timeout_ms: 10_000 });
    const ours = await runProgram(main, ["vmcore-dmesg", path], { [path]: bytes });
    expect(theirs.status).toBe(0);
    expect(ours).toEqual({ status: 0, stdout: theirs.stdout, stderr: "" });
  });

  it("both refuse what is no ELF file", async () => {
    const path = join(folder, "text");
    writeFileSync(path, bytesOf("no ELF file, but long enough"));
    expect(stock("vmcore-dmesg", [path]).status).not.toBe(0);
  });
});
