/** What a thread's program has of the thread that started it: the other end of NodeHost.startThread(). */

import { parentPort } from "node:worker_threads";

export interface Port {
  /** Sends a copy of `message`. */
  post(message: unknown): void;
  /** Messages come when the thread has nothing else to do. It lasts as long as somebody listens. */
  onMessage(listener: (message: unknown) => void): void;
}

/** Throws when this is no thread but a program that somebody started. */
export function threadPort(): Port {
  if (parentPort === null) throw new Error("this is the program of a thread: wkdump starts it");
  const port = parentPort;
  return {
    post: (message) => port.postMessage(message),
    onMessage: (listener) => void port.on("message", listener),
  };
}
