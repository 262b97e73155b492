/**
 * The codecs of compressed dumps: what they pack they unpack, they read the stock libraries' data, and no
 * damage stops them.
 */
import * as zlib from "node:zlib";
import { describe, expect, it } from "vitest";
import { CODECS, type Codec, loadCodecs } from "../../tools/dump/codecs.ts";
import { type PageCompressor, pageCompressor } from "../../tools/dump/compress.ts";
import { bytesOf, concat, seededRandom } from "../support/vmcore.ts";

/** Kernel-like text from a linear congruential generator, the same as the stock libraries packed. */
function textPage(size: number, seed: number): Uint8Array {
  const words = ["kernel ", "page ", "crash", "\0\0\0\0\0\0\0\0", "\x80\x88\xff\xff", "dump "].map(bytesOf);
  const out: number[] = [];
  let x = seed;
  while (out.length < size) {
    x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
    out.push(...words[(x >> 16) % 6]!);
    if ((x >> 8) % 7 === 0) out.push((x >> 20) & 255);
  }
  return Uint8Array.from(out.slice(0, size));
}

/** textPage(1024, 1) as packed by liblzo2 2.10, libsnappy 1.1.9 and libzstd 1.5.4. */
const STOCK: readonly [string, Codec, readonly string[]][] = [
  [
    "lzo",
    "lzo",
    [
      "B2NyYXNogIj//wDAAAJwYWdlIJAACmR1bXAgX2tlcm5lbCDVAwDYAdgAnQSrgAXEAtgAiAKQAOAHLh0AI8QFJwACM7QA0ATx",
      "ByiQBHgVmAaQAIgChAF8ApQBkAB0AZwT8AfMCYkFU5QA5QPV4AGcBStoAIkJRYkCPcAI8QWnlAJ4DJAE1AN8AcgBlQmlkAOI",
      "AS0QANQEYAboCsgCiAaQAHAD7QBqnA3IBHACKSgAKGgB0AKUB8wBkAPMAXwGnAEoEADFAzWIBowMhAEtTAIovACIBPQDkAGM",
      "A9gI4APZARUtPACIC5AGKCUAbCdQAtAGiANwAvAHbAEqDAD8AoAJkQB1lAD8AoAI0QnjlBMqRACAApEAUZQGZQvPhAHIBpAF",
      "gAJoA/AKgAKYBpAAkATsA3wElAIqBAGAAiuYACswACh5AGl5B+ycAeAKhQVAiAKIAfwC/ABkBmwAhASEE3UBjiclAOfAEdkA",
      "U5wEAAFkdW1wIHBhZ2UgcGFnZSBjcmFzEQAA",
    ],
  ],
  [
    "snappy",
    "snappy",
    [
      "gAgkY3Jhc2iAiP//AA0BEHBhZ2UgBQUwZHVtcCBfa2VybmVsIA0eAAANDw0HBSgAqwUpDRINBwUTBQUROT4BAAAjDSoVgVIu",
      "AA0lET0AKAUlAa8FNwUFBRMFCgEYBQ4FBQEOBaARPQ1MBSsAUwUGERoA1REJBTAyGwAFSwBFBRMAPQ1BES0ApwUWAWcFJQ0e",
      "ARANCwVOAKUFHQULOgUADSYBMRFTDRMFMwUFAR0RBABqBXANIwEVHQsZWw0VBT4NDAUdDQwBOAUQGQUNGgA1BTMFZAUKOpQA",
      "GTAFIxEeBQ0FHA1HERkNDwAVOhAABVsFNRkKAGwVlQ01BRsBFRE9AQwuBAARGAVJBQUAdQUGERgFQQ1NAOMFni4SAAURBQUA",
      "UQU2AVoAzwUKDTMFLQURARsRVQURBTcFBQUlERwBKAUWLkIABREyJwAyDQAZHwBpAT8A7AUQEVEFKgBABRMFCxEYEQEBMgEE",
      "BSIFmgEOAI4VCgDnDYkNBwBTBSgFSjRwYWdlIHBhZ2UgY3Jhcw==",
    ],
  ],
  [
    "zstd, level 1",
    "zstd",
    [
      "KLUv/WAAA3UJALLGFyGgKR0/49E1qtqzADaYOKv2aivfGslNbgzSGp87ww9X/aSRak6D+Wvkr4XMXxes/PVwgRACkOSA8VfJ",
      "XyckCQYLyYZ//asgQEnrUYxM0Hq01UAk5oAk0noU418VkWpOfKhATZpMayAC41jaNhHUDVdEqsmyBkU2+zJULk5KTpSVYhs2",
      "30vTHcNWyYFVKo6gVOnzYbEzRjSfDQhBaiitNS15yKJMrUMA9Ct34wlHM6/cLrSB6MbqH3OLoehh6IVj/vWBeWnlB9PF/PQQ",
      "Ndz2qdjAXgpJ6z+DasAYmd2Syswwv9QPZZ1RAd4pDDQvRY7iOgcDLp7TiAm4uXPSPwFUJpSdOPeo4/IoQZmYhlFEtIsMQUEx",
      "YxZCszEmqhZok5rqgM2aUAYITMKMNEAG",
    ],
  ],
  [
    "zstd, level 19",
    "zstd",
    [
      "KLUv/WAAAzUHAEQDY3Jhc2iAiP//AHBhZ2UgZHVtcCBfa2VybmVsIKsAIyhT1UU9p6VqNRVsdeNRz2nsQI7nU1uoYDltrAEg",
      "hCjGzDwRQDiBMk4JJFMWaqHFzITGy5OjV3HB8UfXUuxbeP4ShoICcxVf9EcR/SP4hlIrh/HaaWdouYCCGTQJwhtToDcwFBvj",
      "7IrfG6IXygGwkQWhcOzMVHY25K2zfGXUSuo713wfEm8CqS56lwcQwp5awIIPQ972OnPHCLDRp6ic8XSjTFonw1CQGgY3NA0g",
      "jiqCkAaNcZAtZgTDr0XJJEMFT5i1DSAD",
    ],
  ],
];

const bytesFrom64 = (lines: readonly string[]) => bytesOf(atob(lines.join("")));

function randomPage(size: number, seed: number): Uint8Array {
  const random = seededRandom(seed);
  return Uint8Array.from({ length: size }, () => random(256));
}

const PAGES: readonly [string, (size: number) => Uint8Array][] = [
  ["zeros", (size) => new Uint8Array(size)],
  ["one byte repeated", (size) => new Uint8Array(size).fill(0xa5)],
  ["random bytes", (size) => randomPage(size, 7)],
  ["text", (size) => textPage(size, 3)],
  ["text, then random bytes", (size) => concat(textPage(size / 2, 4), randomPage(size / 2, 5))],
  ["random bytes, then zeros", (size) => concat(randomPage(size / 2, 9), new Uint8Array(size / 2))],
  [
    "pointers",
    (size) =>
      new Uint8Array(
        BigUint64Array.from({ length: size / 8 }, (_, n) => 0xffff888000000000n + BigInt(n * 64)).buffer,
      ),
  ],
  ["a far repetition", (size) => concat(randomPage(size / 2, 11), randomPage(size / 2, 11))],
];
const SIZES = [1024, 4096, 16384, 65536];

/** Where the data of packed() begin in the file, and where its page of zeros lies: beyond 4 GiB. */
const FIRST = 2 ** 33 + 7;
const ZERO_AT = 2 ** 40;

/** Packs pages of 4096 bytes, and reads what their descriptors say. */
function packed(compress: PageCompressor, pages: readonly Uint8Array[], findZero = false) {
  compress.pages.set(concat(...pages));
  const data = compress.compress(pages.length, 4096, findZero);
  const { bytes, zero } = compress.descriptors(FIRST, ZERO_AT);
  expect(bytes.length).toBe(pages.length * 24);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const found = pages.map((_, n) => {
    const offset = Number(view.getBigUint64(n * 24, true));
    const size = view.getUint32(n * 24 + 8, true);
    expect(view.getBigUint64(n * 24 + 16, true)).toBe(0n);
    return {
      offset,
      flags: view.getUint32(n * 24 + 12, true),
      bytes: offset === ZERO_AT ? new Uint8Array(size) : data.slice(offset - FIRST, offset - FIRST + size),
    };
  });
  return { zero, found };
}

describe.each(["zlib", "lzo", "snappy"] as const)("%s", (codec) => {
  it.each(PAGES)("packs and unpacks %s", async (_name, make) => {
    const codecs = await loadCodecs();
    for (const size of SIZES) {
      const page = make(size);
      codecs.pages.set(page);
      const bytes = codecs.compress(codec, 1, size, false).slice();
      expect(bytes.length).toBeLessThanOrEqual(size);
      const unpacked = bytes.length < size ? codecs.decompress(codec, bytes, size)! : bytes;
      expect(Buffer.compare(unpacked, page)).toBe(0);
    }
  });

  it("packs many pages at once, with zero pages left out and random ones stored", async () => {
    const compress = (await pageCompressor(codec))!;
    const codecs = await loadCodecs();
    const pages = [textPage(4096, 1), new Uint8Array(4096), randomPage(4096, 2), textPage(4096, 8)];
    const { zero, found } = packed(compress, pages, true);
    expect([zero, found.map(({ flags }) => flags)]).toEqual([1, [CODECS[codec], 0, 0, CODECS[codec]]]);
    expect([found[0]!.bytes.length < 2048, found[1]!.offset]).toEqual([true, ZERO_AT]);
    expect(Buffer.compare(found[2]!.bytes, pages[2]!)).toBe(0);
    for (const n of [0, 3]) {
      expect(Buffer.compare(codecs.decompress(codec, found[n]!.bytes, 4096)!, pages[n]!)).toBe(0);
    }
  });

  it("packs pages of zeros like any other when they are not left out", async () => {
    const compress = (await pageCompressor(codec))!;
    const codecs = await loadCodecs();
    const { zero, found } = packed(compress, [new Uint8Array(4096), textPage(4096, 1), new Uint8Array(4096)]);
    expect(zero).toBe(0);
    for (const n of [0, 2]) {
      expect(found[n]!.bytes.length).toBeLessThan(256);
      expect(Buffer.compare(codecs.decompress(codec, found[n]!.bytes, 4096)!, new Uint8Array(4096))).toBe(0);
    }
  });
});

describe("zlib streams", () => {
  /** A page whose bytes occur as often as Fibonacci's numbers say, in no order: their codes would be long. */
  const fibonacci = (size: number): Uint8Array => {
    const bytes = new Uint8Array(size);
    let [count, next, at] = [1, 1, 0];
    for (let byte = 0; at < size; byte++) {
      bytes.fill(byte, at, Math.min(size, at + count));
      at += count;
      [count, next] = [next, count + next];
    }
    const random = seededRandom(size);
    for (let n = size - 1; n > 0; n--) {
      const other = random(n + 1);
      [bytes[n], bytes[other]] = [bytes[other]!, bytes[n]!];
    }
    return bytes;
  };
  /** Pieces of what came before, near and far, short and long, and new bytes between them. */
  const repetitive = (size: number, seed: number): Uint8Array => {
    const random = seededRandom(seed);
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; ) {
      const length = 1 + random(random(4) === 0 ? 700 : 12);
      const from = at === 0 || random(3) === 0 ? -1 : random(at);
      for (let n = 0; n < length && at < size; n++, at++)
        bytes[at] = from < 0 ? random(97) : bytes[from + n]!;
    }
    return bytes;
  };
  const all = [...PAGES, ["Fibonacci's numbers", fibonacci] as const];
  for (let seed = 1; seed <= 20; seed++) {
    all.push([`repetitions ${seed}`, (size) => repetitive(size, seed)]);
  }

  it("are what zlib unpacks, and not much longer than its own", async () => {
    const codecs = await loadCodecs();
    const sum = { ours: 0, theirs: 0 };
    for (const [name, make] of all) {
      for (const size of SIZES) {
        const page = make(size);
        codecs.pages.set(page);
        const bytes = codecs.compress("zlib", 1, size, false).slice();
        const whole = bytes.length < size ? zlib.inflateSync(bytes) : bytes;
        expect(Buffer.compare(whole, page), `${name}, ${size} bytes`).toBe(0);
        sum.ours += bytes.length;
        sum.theirs += Math.min(size, zlib.deflateSync(page, { level: 1 }).length);
      }
    }
    expect(sum.ours).toBeLessThan(sum.theirs * 1.15);
  });
});

describe("data of the stock libraries", () => {
  it.each(STOCK)("%s", async (_name, codec, lines) => {
    const page = (await loadCodecs()).decompress(codec, bytesFrom64(lines), 1024);
    expect(page && Buffer.compare(page, textPage(1024, 1))).toBe(0);
  });

  it.each([
    ["level 1", { level: 1 }],
    ["level 9", { level: 9 }],
    ["stored", { level: 0 }],
    ["fixed codes", { strategy: zlib.constants.Z_FIXED }],
    ["Huffman codes alone", { strategy: zlib.constants.Z_HUFFMAN_ONLY }],
    ["runs", { strategy: zlib.constants.Z_RLE }],
  ])("zlib, %s", async (_name, options) => {
    const codecs = await loadCodecs();
    for (const [, make] of PAGES) {
      for (const size of SIZES) {
        const page = make(size);
        const found = codecs.decompress("zlib", zlib.deflateSync(page, options), size);
        expect(found && Buffer.compare(found, page)).toBe(0);
      }
    }
  });
});

describe("damaged data", () => {
  const packed = async (codec: Codec): Promise<Uint8Array> => {
    if (codec === "zlib") return new Uint8Array(zlib.deflateSync(textPage(1024, 1)));
    return bytesFrom64(STOCK.find(([, name]) => name === codec)![2]);
  };

  it.each(["zlib", "lzo", "snappy", "zstd"] as const)("%s: too short, too long, cut off", async (codec) => {
    const codecs = await loadCodecs();
    const whole = await packed(codec);
    expect(codecs.decompress(codec, whole, 1023)).toBeNull();
    expect(codecs.decompress(codec, whole, 1025)).toBeNull();
    for (let length = 0; length < whole.length; length++) {
      expect(codecs.decompress(codec, whole.subarray(0, length), 1024)).toBeNull();
    }
    expect(codecs.decompress(codec, new Uint8Array(3 << 20), 1024)).toBeNull();
  });

  it.each(["zlib", "lzo", "snappy", "zstd"] as const)("%s: flipped bytes end", async (codec) => {
    const codecs = await loadCodecs();
    const whole = await packed(codec);
    const random = seededRandom(codec.length);
    let refused = 0;
    for (let run = 0; run < 5000; run++) {
      const bytes = whole.slice();
      for (let flips = 1 + random(4); flips > 0; flips--) bytes[random(bytes.length)]! ^= 1 + random(255);
      if (codecs.decompress(codec, bytes, 1024) === null) refused++;
    }
    expect(refused).toBeGreaterThan(codec === "zlib" ? 4900 : 500);
    // And the codec is none the worse for it.
    expect(codecs.decompress(codec, whole, 1024)).not.toBeNull();
  });

  it.each(["zlib", "lzo", "snappy", "zstd"] as const)("%s: random bytes end", async (codec) => {
    const codecs = await loadCodecs();
    const start = (await packed(codec)).subarray(0, codec === "zstd" ? 6 : 2);
    for (let run = 0; run < 2000; run++) {
      codecs.decompress(codec, concat(start, randomPage(1 + (run % 600), run + 1)), 1024);
    }
  });
});

/** 64 KiB: pages of ppc64 and aarch64. */
describe("large pages", () => {
  const SIZE = 65536;
  /** A zstd frame of blocks that repeat one byte `size` times (RLE), with a window of 8 MiB. */
  const repeated = (sizes: readonly number[]): Uint8Array => {
    const blocks = sizes.map((size, n) => {
      const header = (size << 3) | (1 << 1) | (n === sizes.length - 1 ? 1 : 0);
      return Uint8Array.of(header & 255, (header >> 8) & 255, header >> 16, 0x61);
    });
    return concat(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3), ...blocks);
  };
  /** By codec: pages of `a`, `size` bytes long. */
  const PACK: Record<Codec, (size: number) => Promise<Uint8Array>> = {
    zlib: async (size) => new Uint8Array(zlib.deflateSync(new Uint8Array(size).fill(0x61))),
    zstd: async (size) => repeated([...Array<number>(Math.floor(size / 4000)).fill(4000), size % 4000]),
    // A literal, then repetitions of at most 64 bytes.
    snappy: async (size) => {
      const copies = Array.from({ length: Math.ceil((size - 1) / 64) }, (_, n) =>
        Uint8Array.of(((Math.min(64, size - 1 - n * 64) - 1) << 2) | 2, 1, 0),
      );
      const length = Uint8Array.of((size & 127) | 128, ((size >> 7) & 127) | 128, size >> 14);
      return concat(length, Uint8Array.of(0, 0x61), ...copies);
    },
    // Four literals, then a repetition whose length goes on over bytes of zeros, then the end.
    lzo: async (size) => {
      const rest = size - 4 - 33;
      const zeros = new Uint8Array(Math.floor((rest - 1) / 255));
      const repeat = concat(Uint8Array.of(0x20), zeros, Uint8Array.of(rest - zeros.length * 255, 0, 0));
      return concat(Uint8Array.of(21, 0x61, 0x61, 0x61, 0x61), repeat, Uint8Array.of(0x11, 0, 0));
    },
  };

  it.each(["zlib", "lzo", "snappy", "zstd"] as const)(
    "%s: one that is as long, none that is longer",
    async (codec) => {
      const codecs = await loadCodecs();
      const page = codecs.decompress(codec, await PACK[codec](SIZE), SIZE);
      expect(page && Buffer.compare(page, new Uint8Array(SIZE).fill(0x61))).toBe(0);
      for (const size of [SIZE + 1, SIZE + 64, SIZE * 16, SIZE * 25]) {
        expect(codecs.decompress(codec, await PACK[codec](size), SIZE)).toBeNull();
      }
      // What lies behind the output is nobody's: the next page is right.
      expect(codecs.decompress(codec, await PACK[codec](SIZE), SIZE)).not.toBeNull();
    },
  );

  it.each(["zlib", "lzo", "snappy"] as const)("%s: flipped bytes end", async (codec) => {
    const codecs = await loadCodecs();
    const text = textPage(SIZE, 12);
    codecs.pages.set(text);
    const whole = codecs.compress(codec, 1, SIZE, false).slice();
    const random = seededRandom(codec.length + 9);
    for (let run = 0; run < 400; run++) {
      const bytes = whole.slice();
      for (let flips = 1 + random(4); flips > 0; flips--) bytes[random(bytes.length)]! ^= 1 + random(255);
      const page = codecs.decompress(codec, bytes, SIZE);
      expect(page === null || page.length === SIZE).toBe(true);
    }
    expect(Buffer.compare(codecs.decompress(codec, whole, SIZE)!, text)).toBe(0);
  });
});

describe("compressors of the host", () => {
  it("that are not there are not", async () => {
    expect(await pageCompressor("zstd")).toBeNull();
  });

  it("store pages that would not get smaller, and leave out zero pages", async () => {
    // Half of each page, and one byte that is not in it.
    const half = (page: Uint8Array): Uint8Array =>
      concat(page.subarray(0, 2048), page[0] === 1 ? new Uint8Array(2048) : Uint8Array.of(1));
    const compress = (await pageCompressor("zstd", { zstd: half }))!;
    const large = concat(Uint8Array.of(1), randomPage(4095, 1));
    const pages = [new Uint8Array(4096), large, textPage(4096, 1)];
    const { zero, found } = packed(compress, pages, true);
    expect([zero, found.map(({ flags }) => flags)]).toEqual([1, [0, 0, CODECS.zstd]]);
    expect(Buffer.compare(found[1]!.bytes, pages[1]!)).toBe(0);
    expect(Buffer.compare(found[2]!.bytes, half(pages[2]!))).toBe(0);
    // Those of zeros that are not left out are packed once and are all alike.
    const all = packed(compress, [pages[0]!, pages[2]!, pages[0]!], false);
    expect(all.zero).toBe(0);
    for (const n of [0, 2]) expect(Buffer.compare(all.found[n]!.bytes, half(pages[0]!))).toBe(0);
  });
});

describe("no codec", () => {
  it("leaves pages as they are, without those of zeros", async () => {
    const compress = (await pageCompressor(null))!;
    const pages = [textPage(4096, 1), new Uint8Array(4096), textPage(4096, 2), new Uint8Array(4096)];
    const { zero, found } = packed(compress, pages, true);
    expect([zero, found.map(({ flags }) => flags)]).toEqual([2, [0, 0, 0, 0]]);
    expect(found.map(({ offset }) => offset - FIRST)).toEqual([0, ZERO_AT - FIRST, 4096, ZERO_AT - FIRST]);
    for (const n of [0, 2]) expect(Buffer.compare(found[n]!.bytes, pages[n]!)).toBe(0);
  });
});
