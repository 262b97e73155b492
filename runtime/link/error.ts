/**
 * LinkError: the module cannot become part of an image. The message says what is wrong, where, and what to
 * do.
 */
export class LinkError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "LinkError";
  }
}
