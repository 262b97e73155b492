/** The program: what build/wkdump.js is made from. */
import { terminal } from "../runtime/adapter/terminal.ts";
import { wkdump } from "./cli.ts";

const host = terminal();
void wkdump(host).then((status) => host.exit(status));
