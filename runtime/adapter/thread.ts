/**
 * The program of a CPU's thread (build/cpu.js): the other end of NodeHost.startThread(). It is a CPU of one
 * machine after another.
 */

import { parentPort } from "node:worker_threads";
import type { ThreadData } from "../smp/protocol.ts";
import { runCpu } from "../smp/thread.ts";
import { currentHost } from "./index.ts";

if (parentPort === null) throw new Error("this is the program of a thread: `wkdump boot --cpus` starts it");
const port = parentPort;
const host = currentHost();
port.on("message", (data: ThreadData) => runCpu(data, host, (letter) => port.postMessage(letter)));
