/** The serial console: what is handed on, and the last line that it remembers. */
import { expect, it } from "vitest";
import { PhysicalMemory } from "../../runtime/machine/memory.ts";
import { Serial } from "../../runtime/machine/serial.ts";

function console_(): { serial: Serial; print(text: string): void; output(): string; pieces: Uint8Array[] } {
  const memory = new PhysicalMemory(4 << 20);
  const pieces: Uint8Array[] = [];
  const serial = new Serial(memory, (bytes) => pieces.push(bytes));
  return {
    serial,
    pieces,
    print(text) {
      const bytes = new TextEncoder().encode(text);
      memory.write(0x1000, bytes);
      serial.outs(0x1000, bytes.length);
    },
    output: () => new TextDecoder().decode(Buffer.concat(pieces)),
  };
}

it("hands on whole lines at once, and a part of one when it is flushed", () => {
  const { serial, print, output, pieces } = console_();
  print("one\ntwo");
  expect(output()).toBe("");
  for (const byte of new TextEncoder().encode(" and\nmore")) serial.put(byte);
  expect(output()).toBe("one\ntwo and\n");
  print(`${"x".repeat(10_000)}\n`);
  expect(output()).toBe(`one\ntwo and\nmore${"x".repeat(10_000)}\n`);
  print("part");
  serial.flush();
  serial.flush();
  expect(output().endsWith("\npart")).toBe(true);
  expect(pieces.every(({ length }) => length > 0 && length <= 4096)).toBe(true);
});

it("remembers the last line with text in it that has ended", () => {
  const { serial, print } = console_();
  expect(serial.lastLine).toBe("");
  print("first\r\nsecond, caf\u00c3");
  expect(serial.lastLine).toBe("");
  print(" and more\n \n\nnot ended");
  serial.flush();
  expect(serial.lastLine).toBe("second, caf\u00c3 and more");
  print("\n");
  expect(serial.lastLine).toBe("not ended");
  print(`${"y".repeat(20_000)}\n`);
  expect(serial.lastLine).toBe("y".repeat(512));
  print("\n\t\n");
  expect(serial.lastLine).toBe("y".repeat(512));
});
