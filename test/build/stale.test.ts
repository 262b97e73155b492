import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { buildAndMark, isFresh, PRODUCTS, withBuildLock } from "../../tools/build/stale.ts";

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "wkdump-stale-"));
  mkdirSync(join(root, "tools/boot"), { recursive: true });
  writeFileSync(join(root, "tools/boot/main.ts"), "one");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function build(): Promise<void> {
  mkdirSync(join(root, "build"), { recursive: true });
  await buildAndMark(root, async () => {
    for (const name of PRODUCTS) writeFileSync(join(root, "build", name), "made");
  });
}

describe("the build is fresh", () => {
  it("not before the first build, and after it", async () => {
    expect(isFresh(root)).toBe(false);
    await build();
    expect(isFresh(root)).toBe(true);
  });

  it("not after a change, a new file, a file less", async () => {
    await build();
    writeFileSync(join(root, "tools/boot/main.ts"), "two");
    expect(isFresh(root)).toBe(false);
    await build();
    writeFileSync(join(root, "tools/new.ts"), "");
    expect(isFresh(root)).toBe(false);
    await build();
    rmSync(join(root, "tools/new.ts"));
    expect(isFresh(root)).toBe(false);
  });

  it("still, when a file was only touched", async () => {
    await build();
    utimesSync(join(root, "tools/boot/main.ts"), 1, 1);
    expect(isFresh(root)).toBe(true);
    // The new time was noted, so that contents are not hashed again.
    expect(readFileSync(join(root, "build/sources.stamp"), "utf8")).toContain(" 1000000000\n");
  });

  it("not when a product is missing", async () => {
    await build();
    rmSync(join(root, "build", PRODUCTS[0]!));
    expect(isFresh(root)).toBe(false);
  });

  it("not when a source changed during the build", async () => {
    await buildAndMark(root, async () => {
      await build();
      writeFileSync(join(root, "tools/boot/main.ts"), "changed meanwhile");
    });
    expect(isFresh(root)).toBe(false);
  });

  it("not after a build that failed", async () => {
    await expect(buildAndMark(root, () => Promise.reject(new Error("asc")))).rejects.toThrow("asc");
    expect(isFresh(root)).toBe(false);
  });
});

describe("the build lock", () => {
  it("lets one build at a time", async () => {
    let running = 0;
    let waited = 0;
    const work = async (): Promise<void> => {
      expect(++running).toBe(1);
      await new Promise((done) => setTimeout(done, 80));
      running--;
    };
    await Promise.all([1, 2, 3].map(() => withBuildLock(root, () => void waited++, work)));
    expect(waited).toBe(2);
  });

  it("is free again after a failure", async () => {
    await expect(
      withBuildLock(
        root,
        () => {},
        () => Promise.reject(new Error("asc")),
      ),
    ).rejects.toThrow("asc");
    await withBuildLock(
      root,
      () => expect.unreachable(),
      async () => {},
    );
  });

  it("of a process that is gone is taken over", async () => {
    mkdirSync(join(root, "build"));
    // The largest pid of Linux is 2^22.
    writeFileSync(join(root, "build/lock"), "999999999");
    await withBuildLock(
      root,
      () => expect.unreachable(),
      async () => {},
    );
  });
});
