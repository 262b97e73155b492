/** Why a run of makedumpfile ends with 1. */

/** The work cannot be done: the line that says why; "" when it has been said. */
export class Failure extends Error {
  override name = "Failure";
}

/** The same, where the original says it among its common messages, not its errors. */
export class Refusal extends Failure {
  override name = "Refusal";
}
