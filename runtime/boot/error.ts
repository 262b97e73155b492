/** BootError: the machine cannot be started as asked. The message is for the user and says what would do. */
export class BootError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "BootError";
  }
}
