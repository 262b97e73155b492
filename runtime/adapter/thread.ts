/** The program of a CPU's thread (build/cpu.js). It is a CPU of one machine after another. */

import type { ThreadData } from "../smp/protocol.ts";
import { runCpu } from "../smp/thread.ts";
import { currentHost } from "./index.ts";
import { threadPort } from "./port.ts";

const port = threadPort();
const host = currentHost();
port.onMessage((data) => runCpu(data as ThreadData, host, port.post));
