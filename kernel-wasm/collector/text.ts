/** Sentences of the component, put together from literals, numbers and bytes. One is under way at a time. */
import { alloc } from "./world";

/** A sentence is cut off behind so many bytes. */
const SIZE: usize = 1024;

let start: usize = 0;
let end: usize = 0;

export function begin(): void {
  if (start == 0) start = alloc(SIZE);
  end = start;
}

export function text_at(): usize {
  return start;
}

export function text_size(): usize {
  return end - start;
}

function put(byte: u8): void {
  if (end < start + SIZE) store<u8>(end++, byte);
}

/** A literal of ASCII. */
export function say(text: string): void {
  for (let i = 0; i < text.length; i++) put(<u8>text.charCodeAt(i));
}

export function say_bytes(at: usize, size: usize): void {
  for (let i: usize = 0; i < size; i++) put(load<u8>(at + i));
}

export function say_number(value: u64): void {
  if (value >= 10) say_number(value / 10);
  put(<u8>(0x30 + (value % 10)));
}
