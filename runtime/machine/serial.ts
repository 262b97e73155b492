/** The serial console, COM1 at 0x3f8: what the machine prints, handed on in whole lines or when it pauses. */

import type { PhysicalMemory } from "./memory.ts";

export const COM1 = 0x3f8;
/** Interrupt identification: FIFOs enabled, as a 16550A says, and no interrupt pending. */
const UART_IIR = 2;
const UART_IIR_16550A = 0xc1;
/** Line status register: the transmitter is empty, always. */
const UART_LSR = 5;
const UART_LSR_TEMT_THRE = 0x60;
const BUFFER = 4096;
/** What is kept of a line, for a reason when the machine stops. */
const LINE_MAX = 512;
const NEWLINE = 0x0a;

/** What the registers say, whatever is sent. */
export const UART = {
  in8(port: number): number {
    if (port === COM1 + UART_IIR) return UART_IIR_16550A;
    return port === COM1 + UART_LSR ? UART_LSR_TEMT_THRE : 0;
  },
};

export class Serial {
  readonly #memory: PhysicalMemory;
  readonly #sink: (bytes: Uint8Array) => void;
  readonly #buffer = new Uint8Array(BUFFER);
  #used = 0;
  /** The last line with text in it, and the one that has not ended, in pieces as they were handed on. */
  #last: Uint8Array[] = [];
  #line: Uint8Array[] = [];

  constructor(memory: PhysicalMemory, sink: (bytes: Uint8Array) => void) {
    this.#memory = memory;
    this.#sink = sink;
  }

  /** A byte to the data register; a newline hands the line on. */
  put(byte: number): void {
    this.#buffer[this.#used++] = byte;
    if (byte === NEWLINE || this.#used === BUFFER) this.flush();
  }

  /** Many bytes of memory at once (rep outsb). */
  outs(start: number, length: number): void {
    const bytes = this.#memory.slice(start, length);
    for (let at = 0; at < length; ) {
      const piece = bytes.subarray(at, at + BUFFER - this.#used);
      this.#buffer.set(piece, this.#used);
      this.#used += piece.length;
      at += piece.length;
      if (this.#used === BUFFER) this.flush();
    }
    if (this.#buffer[this.#used - 1] === NEWLINE) this.flush();
  }

  /** Hands on what is there, a partial line too. */
  flush(): void {
    if (this.#used === 0) return;
    const bytes = this.#buffer.slice(0, this.#used);
    this.#used = 0;
    this.#remember(bytes);
    this.#sink(bytes);
  }

  readonly in8 = UART.in8;

  /** The last line with text in it of what was handed on, for a reason when the machine stops. */
  get lastLine(): string {
    const decoder = new TextDecoder();
    const text = this.#last.map((piece) => decoder.decode(piece, { stream: true })).join("");
    return text.slice(0, LINE_MAX).trim();
  }

  /** Looked at rarely, so that it is pieces, not text, that are kept. */
  #remember(bytes: Uint8Array): void {
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      const line = [...this.#line, bytes.subarray(start, end)];
      if (line.some((piece) => piece.some((byte) => byte > 0x20))) this.#last = line;
      this.#line = [];
      start = end + 1;
    }
    const kept = this.#line.reduce((sum, { length }) => sum + length, 0);
    if (start < bytes.length && kept < LINE_MAX) this.#line.push(bytes.subarray(start));
  }
}
