/** Why a run of makedumpfile fails. */

/** The work cannot be done: the line that says why, "" when it has been said; and the exit status. */
export class Failure extends Error {
  override name = "Failure";

  constructor(
    message: string,
    readonly status: number = 1,
  ) {
    super(message);
  }
}

/** The same, where the original says it among its common messages, not its errors. */
export class Refusal extends Failure {
  override name = "Refusal";
}
