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
  #lastLine = "";
  #line: number[] = [];

  constructor(memory: PhysicalMemory, sink: (bytes: Uint8Array) => void) {
    this.#memory = memory;
    this.#sink = sink;
  }

  /** A byte to the data register; a newline hands the line on. */
  put(byte: number): void {
    this.#buffer[this.#used++] = byte;
    this.#remember(byte);
    if (byte === 0x0a || this.#used === BUFFER) this.flush();
  }

  /** Many bytes of memory at once (rep outsb). */
  outs(start: number, length: number): void {
    for (const byte of this.#memory.slice(start, length)) {
      this.#buffer[this.#used++] = byte;
      this.#remember(byte);
      if (this.#used === BUFFER) this.flush();
    }
    if (this.#buffer[this.#used - 1] === 0x0a) this.flush();
  }

  /** Hands on what is there, a partial line too. */
  flush(): void {
    if (this.#used === 0) return;
    const bytes = this.#buffer.slice(0, this.#used);
    this.#used = 0;
    this.#sink(bytes);
  }

  readonly in8 = UART.in8;

  /** The last line with text in it, for a reason when the machine stops. */
  get lastLine(): string {
    return this.#lastLine;
  }

  #remember(byte: number): void {
    if (byte !== 0x0a) {
      if (this.#line.length < 512) this.#line.push(byte);
      return;
    }
    const text = new TextDecoder().decode(Uint8Array.from(this.#line)).trim();
    if (text !== "") this.#lastLine = text;
    this.#line = [];
  }
}
