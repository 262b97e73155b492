import { describe, expect, it } from "vitest";
import { run } from "./run.ts";
import { GUARD_SP, trapKernel, traps } from "./trap-kernels.ts";

describe("a trap in the kernel enters asm_exc with x86's vector", () => {
  it.each(traps)("%s", async (_, body, expected) => {
    const { console, outcome } = await run(trapKernel(body));
    expect(console).toBe(`${expected}\n`);
    expect(outcome).toBe("powered-off");
  });

  it("endless recursion", async () => {
    const recursion = "function deep(a: i32): i32 { return a > 0 ? deep(a + 1) + deep(a + 2) : a; }";
    const { console } = await run(trapKernel("hex(deep(1 + zero(params)));", recursion));
    expect(console).toBe("00000008 00000000 0000000000207f00 00219000\n");
  });
});

describe("what no handler can take", () => {
  const reason = async (source: string): Promise<string> => {
    const result = await run(source);
    expect(result.outcome).toBe("not-captured");
    return result.reason;
  };

  it("an overflow of the double fault's own stack", async () => {
    expect(await reason(trapKernel("sp = 0x218080; unreachable();"))).toMatch(
      /triple fault: kernel stack overflow/,
    );
  });

  it("an overflow before there is another stack", async () => {
    const early = `export function asm_exc(v: i32, e: i32, lo: i32, hi: i32): void {}
      export function startup_64(params: usize): void { sp = ${GUARD_SP}; unreachable(); }`;
    expect(await reason(early)).toMatch(/triple fault: kernel stack overflow/);
  });

  it("a handler that traps for ever", async () => {
    const source = `export function asm_exc(v: i32, e: i32, lo: i32, hi: i32): void { unreachable(); }
      export function startup_64(params: usize): void { sp = 0x207f00; unreachable(); }`;
    expect(await reason(source)).toMatch(/triple fault: unreachable/);
  });

  it("a handler that returns", async () => {
    const source = `export function asm_exc(v: i32, e: i32, lo: i32, hi: i32): void {}
      export function startup_64(params: usize): void { unreachable(); }`;
    expect(await reason(source)).toMatch(/handler of an exception returned \(unreachable\)/);
  });

  it("a task switch before there is a TSS", async () => {
    const source = "export function startup_64(params: usize): void { switch_to(); }";
    expect(await reason(source)).toMatch(/triple fault: a task switch without a TSS/);
  });

  it("a kernel stack outside memory", async () => {
    const source = `export function cpu_resume(): void {}
      export function startup_64(params: usize): void {
        store<u64>(0x200004, 0xffff888000500000); ltr(0x200000); switch_to(); }`;
    expect(await reason(source)).toMatch(/triple fault/);
  });
});
