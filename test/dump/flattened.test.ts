import { describe, expect, it } from "vitest";
import { MemoryBytes, readExactly } from "../../tools/dump/bytes.ts";
import { FlattenedBytes } from "../../tools/dump/flattened.ts";
import { FlattenedWriter } from "../../tools/dump/flattened-writer.ts";
import { openDump } from "../../tools/dump/open.ts";
import { compressed, flattened } from "../support/dumps.ts";
import { mockPrb } from "../support/log.ts";
import { concat, seededRandom } from "../support/vmcore.ts";

const open = (bytes: Uint8Array) => FlattenedBytes.open(new MemoryBytes("flat", bytes));
const whole = async (flat: FlattenedBytes) => readExactly(flat, 0, flat.size, "all of it");

/** A stream of these writes. */
async function stream(writes: readonly [number, Uint8Array][]): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const writer = new FlattenedWriter(async (bytes) => void parts.push(bytes.slice()));
  for (const [offset, bytes] of writes) await writer.write(offset, bytes);
  await writer.end();
  return concat(...parts);
}

describe("a flattened dump", () => {
  const file = mockPrb().build();

  it("is the file that it was made from, whatever the order of its records", async () => {
    const random = seededRandom(5);
    const shuffle = (pieces: number[]) => {
      for (let at = pieces.length - 1; at > 0; at--) {
        const other = random(at + 1);
        [pieces[at], pieces[other]] = [pieces[other]!, pieces[at]!];
      }
      return pieces;
    };
    for (const size of [100, 4096, 65536, file.length]) {
      for (const order of [undefined, (pieces: number[]) => pieces.reverse(), shuffle]) {
        const flat = await open(await flattened(file, size, order));
        expect(Buffer.compare(await whole(flat), file)).toBe(0);
        expect(flat.problems).toEqual([]);
      }
    }
  });

  it("lets later records overwrite earlier ones, and has zeros where none wrote", async () => {
    const random = seededRandom(6);
    for (let run = 0; run < 60; run++) {
      const model = new Uint8Array(4000);
      let size = 0;
      const writes: [number, Uint8Array][] = [];
      for (let n = 0; n < 1 + random(40); n++) {
        const offset = random(3000);
        const bytes = new Uint8Array(random(4) === 0 ? 0 : random(900)).fill(n + 1);
        writes.push([offset, bytes]);
        model.set(bytes, offset);
        if (bytes.length > 0) size = Math.max(size, offset + bytes.length);
      }
      if (size === 0) continue;
      const flat = await open(await stream(writes));
      expect(flat.size).toBe(size);
      expect(Buffer.compare(await whole(flat), model.subarray(0, size))).toBe(0);
      for (let n = 0; n < 20; n++) {
        const at = random(size);
        const length = random(size - at);
        expect(
          Buffer.compare(await readExactly(flat, at, length, "a part"), model.subarray(at, at + length)),
        ).toBe(0);
      }
    }
  });

  it("of an ELF core and of a compressed dump is opened as such", async () => {
    const elf = await openDump([new MemoryBytes("flat", await flattened(file))]);
    expect(elf.format).toBe("ELF64 core");
    const dump = await openDump([new MemoryBytes("flat", await flattened(await compressed(file), 1000))]);
    expect(dump.format).toBe("kdump-compressed dump version 6");
    expect(Buffer.compare(await dump.read(0, 0x100000), await elf.read(0, 0x100000))).toBe(0);
  });

  it("that was cut off has what stands before the cut", async () => {
    const flat = await flattened(file, 4096);
    const cut = await open(flat.subarray(0, flat.length - 16 - 100));
    expect(cut.problems).toEqual([
      expect.stringMatching(/^the record at 0x\w+ has 0x1000 bytes, of which 0xf9c are/),
    ]);
    expect(Buffer.compare(await whole(cut), file.subarray(0, file.length - 100))).toBe(0);
    const open2 = await open(flat.subarray(0, flat.length - 16));
    expect(open2.problems).toEqual([expect.stringMatching(/without the record that ends it/)]);
    const dump = await openDump([new MemoryBytes("flat", flat.subarray(0, flat.length - 16))]);
    expect(dump.problems).toHaveLength(1);
  });

  it("that is damaged is refused, with the place", async () => {
    const flat = await flattened(file, 4096);
    const edited = (at: number, value: bigint) => {
      const copy = flat.slice();
      new DataView(copy.buffer).setBigInt64(at, value, false);
      return copy;
    };
    await expect(open(edited(16, 2n))).rejects.toThrow(/flat, offset 0x10: type 2 and version 1/);
    await expect(open(edited(4096, -5n))).rejects.toThrow(
      /flat, offset 0x1000: a record for offset -5, size 4096/,
    );
    await expect(open(edited(4104, -5n))).rejects.toThrow(
      /flat, offset 0x1000: a record for offset 0, size -5/,
    );
    await expect(open(edited(4096, 2n ** 62n))).rejects.toThrow(/offset 0x1000/);
    // A file of terabytes, nearly all of them holes, by one bit.
    await expect(open(edited(4096, 2n ** 42n))).rejects.toThrow(
      /records for a file of 0x40000001000 bytes in a stream of 0x\w+/,
    );
    await expect(open(flat.subarray(0, 4096))).rejects.toThrow(/without records/);
    await expect(open(flat.subarray(0, 20))).rejects.toThrow(/the flattened dump's header/);
  });

  it("of more pieces than can be kept is refused", async () => {
    const records = (1 << 17) + 1;
    const bytes = new Uint8Array(4096 + records * 17);
    bytes.set((await stream([])).subarray(0, 4096));
    const view = new DataView(bytes.buffer);
    for (let n = 0; n < records; n++) {
      view.setBigInt64(4096 + n * 17, BigInt(n * 2), false);
      view.setBigInt64(4096 + n * 17 + 8, 1n, false);
    }
    await expect(open(bytes)).rejects.toThrow(
      /more than 131072 records that do not continue each other\nRebuild/,
    );
  });
});
