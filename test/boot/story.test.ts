import { describe, expect, it } from "vitest";
import type { Terminal } from "../../runtime/adapter/terminal.ts";
import { Complaints } from "../../tools/boot/complaints.ts";
import { Story } from "../../tools/boot/story.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function fakeTerminal(look: { tty?: boolean; color?: boolean } = {}): {
  terminal: Terminal;
  output: () => string;
} {
  let output = "";
  const terminal = {
    tty: look.tty ?? false,
    color: look.color ?? false,
    out: (data: string) => {
      output += data;
    },
  } as unknown as Terminal;
  return { terminal, output: () => output };
}

describe("the story", () => {
  it("has headings with times between the console's lines, in order", () => {
    const { terminal, output } = fakeTerminal();
    let now = 5;
    const story = new Story(terminal, () => now);
    story.phase("power-on");
    story.console(bytes("[    0.000000] Linux ver"));
    story.console(bytes("sion 5.15\r\nnext\r\n"));
    now = 17.3;
    story.phase("user");
    story.phase("loaded");
    story.console(bytes("cut off"));
    story.end();
    expect(output()).toBe(
      "== power-on     0.0 ms  the first kernel starts at 1 MiB\n" +
        "[    0.000000] Linux version 5.15\nnext\n" +
        "== load        12.3 ms  the capture kernel lies in the crash region\n" +
        "cut off\n",
    );
  });

  it("is shown line by line on a terminal, with colours only where they are wanted", () => {
    const plain = fakeTerminal({ tty: true });
    new Story(plain.terminal, () => 0).console(bytes("Kernel panic - not syncing: x\nhalf"));
    expect(plain.output()).toBe("Kernel panic - not syncing: x\n");
    const colored = fakeTerminal({ tty: true, color: true });
    const story = new Story(colored.terminal, () => 0);
    story.console(bytes("Kernel panic - not syncing: x\n"));
    story.phase("panic");
    expect(colored.output().split("\x1b[").length).toBe(5);
  });

  it("keeps characters whole that come in two pieces", () => {
    const { terminal, output } = fakeTerminal();
    const story = new Story(terminal, () => 0);
    const text = bytes("caf\u00e9\n");
    story.console(text.subarray(0, 4));
    story.console(text.subarray(4));
    story.end();
    expect(output()).toBe("caf\u00e9\n");
  });
});

describe("complaints", () => {
  const complaint = (text: string): string | undefined => {
    const complaints = new Complaints();
    for (let at = 0; at < text.length; at += 7) complaints.console(bytes(text.slice(at, at + 7)));
    return complaints.text;
  };

  it("are the cause, not what follows from it", () => {
    const log =
      "[    0.000000] cannot allocate crashkernel (size:0x240000000)\n[    0.1] x\n" +
      "Memory for crashkernel is not reserved\nkdump: Starting kdump: [FAILED]\n" +
      "[    0.200000] Kernel panic - not syncing: sysrq triggered crash\n";
    expect(complaint(log)).toBe("cannot allocate crashkernel (size:0x240000000)");
  });

  it("are none when all went well", () => {
    expect(complaint("[    0.2] Kernel panic - not syncing: sysrq triggered crash\nsaved\n")).toBeUndefined();
  });
});
