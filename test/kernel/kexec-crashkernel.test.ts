/** crashkernel=: grammar, every error text, and where the region goes. */
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { compilePiece, FAKES, type Piece } from "./kexec-harness.ts";

const SOURCE = `
import { sym } from "./include/generated/symbols";
import { parse_crashkernel, reserve_crashkernel } from "./kernel/crash_reserve";
export function parse(megabytes: u32): i32 {
  return parse_crashkernel(sym.boot_command_line, <u64>megabytes << 20);
}
export function size(): f64 { return <f64>sym.crashkernel.size; }
export function base(): f64 { return <f64>sym.crashkernel.base; }
export function low(): f64 { return <f64>sym.crashkernel.low_size; }
export function high(): i32 { return sym.crashkernel.high; }
export function reserve(): void { reserve_crashkernel(); }
export function res_start(): f64 { return <f64>sym.crashk_res.start; }
export function res_end(): f64 { return <f64>sym.crashk_res.end; }
`;
const EINVAL = -22;
const ENOENT = -2;
const M = 1 << 20;

describe("crashkernel=", () => {
  let piece: Piece;
  /** Answers of the fake memblock: the range asked for, and what it gives. */
  let asked: [number, number][];
  let give: (size: number, start: number, end: number) => number;

  beforeAll(async () => {
    const fakes = {
      ...FAKES,
      "mm/memblock.ts": `
        @external("test", "find") declare function find(size: f64, align: f64, start: f64, end: f64): f64;
        export function memblock_phys_alloc_range(size: u64, align: u64, start: u64, end: u64): u64 {
          return <u64>find(<f64>size, <f64>align, <f64>start, <f64>end);
        }
        export function memblock_phys_free(base: u64, size: u64): void {}
        export function memblock_phys_mem_size(): u64 { return 63 << 20; }`,
      "kernel/resource.ts": `
        import { resource } from "../include/generated/structs";
        export function insert_resource(parent: resource, res: resource): i32 { return 0; }`,
    };
    piece = await compilePiece("production", SOURCE, fakes, {
      find: (size: number, align: number, start: number, end: number) => {
        expect(align).toBe(0x10000);
        asked.push([start, end]);
        return give(size, start, end);
      },
    } as never);
  });

  beforeEach(() => {
    piece.log();
    asked = [];
    give = () => 0;
    const res = piece.at("crashk_res");
    piece.bytes.fill(0, res, res + 16);
  });

  const command = (line: string) => piece.bytes.set(Buffer.from(`${line}\0`), piece.at("boot_command_line"));
  const parse = (line: string, megabytes = 512) => {
    command(line);
    const result = piece.exports.parse?.(megabytes);
    return { result, size: piece.exports.size?.(), base: piece.exports.base?.() };
  };

  it.each([
    ["crashkernel=64M", 64 * M, 0],
    ["quiet crashkernel=64M@16M panic=1", 64 * M, 16 * M],
    ["crashkernel=1G crashkernel=32M", 32 * M, 0],
    ["crashkernel=0x100000@0x2000000", M, 32 * M],
    ["crashkernel=512k", M / 2, 0],
    ["crashkernel=64M@0", 64 * M, 0],
    ["crashkernel=512M-2G:64M,2G-:128M", 64 * M, 0],
    ["crashkernel=0-256M:16M,256M-:96M@48M", 96 * M, 48 * M],
    ["crashkernel=1M-:8M,this is never read", 8 * M, 0],
    ["crashkernel=1G,high crashkernel=64M", 64 * M, 0],
    ["crashkernel=128M,high", 128 * M, 0],
  ])("%s", (line, size, base) => {
    expect(parse(line)).toEqual({ result: 0, size, base });
    expect(piece.log()).toEqual([]);
  });

  it("rounds the machine's memory up to 128 MiB to find the range", () => {
    expect(parse("crashkernel=512M-:64M", 385).size).toBe(64 * M);
    expect(parse("crashkernel=512M-:64M", 384).result).toBe(EINVAL);
  });

  it.each([
    ["crashkernel=", "crashkernel: memory value expected"],
    ["crashkernel=auto", "crashkernel: memory value expected"],
    ["crashkernel=64Mx", "crashkernel: unrecognized char: x"],
    ["crashkernel=64M,cma", "crashkernel: unrecognized char: ,"],
    ["crashkernel=64M@16M,high", "crashkernel: unrecognized char: @"],
    ["crashkernel=1G-2G:64M:", null],
    ["crashkernel=x-1G:64M", "crashkernel: Memory value expected"],
    ["crashkernel=1G-x:64M", "crashkernel: Memory value expected"],
    ["crashkernel=1M-2G:", "crashkernel: Memory value expected"],
    ["crashkernel=1G:64M", "crashkernel: '-' expected"],
    ["crashkernel=2G-1G:64M", "crashkernel: end <= start"],
    ["crashkernel=1G-2G64M,1:1", "crashkernel: ':' expected"],
    ["crashkernel=1M-2G:1G", "crashkernel: invalid size"],
    ["crashkernel=1M-2M:1G,4M-:8M", "crashkernel: invalid size"],
    ["crashkernel=1M-:8M@", "crashkernel: Memory value expected after '@'"],
    ["crashkernel=1G-2G:64M", "crashkernel size resulted in zero bytes"],
    ["crashkernel=0", null],
    ["crashkernel=64M,low", "none"],
  ])("refuses %s", (line, message) => {
    const { result } = parse(line);
    if (message === "none") return expect(result).toBe(ENOENT);
    expect(result).toBe(EINVAL);
    if (message) expect(piece.log().map((entry) => entry.slice(3))).toContain(message);
  });

  it("says nothing without the parameter", () => {
    expect(parse("quiet").result).toBe(ENOENT);
    expect(piece.log()).toEqual([]);
  });

  it("takes ,low only beside ,high", () => {
    command("crashkernel=128M,high crashkernel=16M,low");
    piece.exports.parse?.(512);
    expect([piece.exports.high?.(), piece.exports.low?.()]).toEqual([1, 16 * M]);
  });

  const reserve = (line: string) => {
    command(line);
    piece.exports.reserve?.();
    return { start: piece.exports.res_start?.(), end: piece.exports.res_end?.(), log: piece.log() };
  };

  it("reserves below 4 GiB and says so", () => {
    give = () => 48 * M;
    expect(reserve("crashkernel=8M")).toEqual({
      start: 48 * M,
      end: 56 * M - 1,
      log: ["<6>Reserving 8MB of memory at 48MB for crashkernel (System RAM: 63MB)"],
    });
    expect(asked).toEqual([[0, 2 ** 32]]);
  });

  it("takes a fixed offset there or not at all", () => {
    give = (_, start) => (start === 16 * M ? start : 0);
    expect(reserve("crashkernel=8M@16M").start).toBe(16 * M);
    asked = [];
    give = () => 0;
    const { log } = reserve("crashkernel=8M@17M");
    expect(log).toEqual(["<4>crashkernel reservation failed - memory is in use."]);
    expect(asked).toEqual([[17 * M, 25 * M]]);
  });

  it("tries above 4 GiB when there is no room below, the other way round for ,high", () => {
    expect(reserve("crashkernel=9G").log).toEqual(["<4>cannot allocate crashkernel (size:0x240000000)"]);
    expect(asked).toEqual([
      [0, 2 ** 32],
      [2 ** 32, 2 ** 46],
    ]);
    asked = [];
    give = (_, start) => (start === 0 ? 32 * M : 0);
    expect(reserve("crashkernel=8M,high").start).toBe(32 * M);
    expect(asked).toEqual([
      [2 ** 32, 2 ** 46],
      [0, 2 ** 32],
    ]);
  });

  it("survives a size and an offset that wrap", () => {
    expect(reserve("crashkernel=0xffffffffffffffff").log).toHaveLength(1);
    expect(asked).toEqual([]);
    expect(reserve("crashkernel=64M@0xfffffffffffff000").log).toHaveLength(1);
  });
});
