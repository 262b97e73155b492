/** CollectorError: a component cannot be run, or what it did ended its run. The sentence says which. */
export class CollectorError extends Error {
  override name = "CollectorError";
}

const SENTENCE_MAX = 500;

/** What a component says, as a line for a terminal: without control characters, and not too long. */
export function lineOf(text: string): string {
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ").trim();
  return line.length > SENTENCE_MAX ? `${line.slice(0, SENTENCE_MAX)}...` : line;
}
