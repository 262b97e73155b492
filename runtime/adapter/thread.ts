/** The program of a CPU's thread (build/cpu.js): the other end of NodeHost.startThread(). */

import { parentPort, workerData } from "node:worker_threads";
import { runCpu } from "../smp/thread.ts";
import { currentHost } from "./index.ts";

if (parentPort === null) throw new Error("this is the program of a thread: `wkdump boot --cpus` starts it");
const port = parentPort;
runCpu(workerData, currentHost(), (question) => port.postMessage(question));
