/** makedumpfile says what the original says, in its words. */
import { expect, it } from "vitest";
import type { Stat } from "../../runtime/user/proc.ts";
import { main } from "../../tools/makedumpfile/main.ts";
import { muteCore } from "../support/dumps.ts";
import { FakeProc } from "../support/fake-proc.ts";
import { MUTE, STOCK_TEXTS, TAKEN } from "./stock-texts.ts";

/** In the root directory; keeps standard output and standard error apart. */
class Streams extends FakeProc {
  readonly said = ["", "", ""];

  override open(path: string, flags: number): Promise<number> {
    return super.open(`/${path}`, flags);
  }

  override stat(path: string): Promise<Stat> {
    return super.stat(path.startsWith("/") ? path : `/${path}`);
  }

  override unlink(path: string): Promise<void> {
    return super.unlink(`/${path}`);
  }

  override async write(fd: number, data: Uint8Array | string): Promise<void> {
    if (fd > 2) return super.write(fd, data);
    this.said[fd] += typeof data === "string" ? data : new TextDecoder().decode(data);
  }
}

/** Without the lines of progress. */
const quiet = (text: string): string => text.replace(/\r.{50}: \[ *\d+\.\d %\] . {2}.{16}\n?/g, "");

it.each(STOCK_TEXTS)("makedumpfile $args", async ({ args, status, said, errors = "" }) => {
  const proc = new Streams(["makedumpfile", ...args.split(" ").filter((it) => it !== "")]);
  proc.directories.add("");
  proc.files.set(`/${MUTE}`, muteCore());
  proc.files.set(`/${TAKEN}`, new Uint8Array(1));
  expect([await main(proc), proc.said[1], quiet(proc.said[2]!)]).toEqual([status, said, errors]);
});
