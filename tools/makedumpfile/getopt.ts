/**
 * getopt_long(3) as glibc has it: short options in one word, their values attached or apart, long ones
 * shortened as far as they are not ambiguous, options and operands in any order.
 */

/** What getopt itself says about a wrong option, on standard error. */
export class GetoptError extends Error {
  override name = "GetoptError";
}

/** Option names without their dashes, and whether a value follows. */
export type OptionTable = Readonly<Record<string, boolean>>;

/** [option, its value], in order; operands have the option "". Throws GetoptError. */
export function* getopt(
  program: string,
  args: readonly string[],
  short: OptionTable,
  long: OptionTable,
): Generator<[string, string]> {
  const wrong = (text: string): GetoptError => new GetoptError(`${program}: ${text}`);
  for (let n = 0; n < args.length; n++) {
    const arg = args[n]!;
    if (arg === "--") {
      for (const rest of args.slice(n + 1)) yield ["", rest];
      return;
    }
    if (arg.startsWith("--")) {
      const [name = "", ...values] = arg.slice(2).split("=");
      const found = Object.keys(long).filter((it) => it.startsWith(name));
      const option = found.includes(name) ? name : found[0];
      if (option === undefined) throw wrong(`unrecognized option '--${name}'`);
      if (found.length > 1 && option !== name) {
        const all = found.map((it) => `'--${it}'`).join(" ");
        throw wrong(`option '--${name}' is ambiguous; possibilities: ${all}`);
      }
      if (!long[option]) {
        if (values.length > 0) throw wrong(`option '--${option}' doesn't allow an argument`);
        yield [option, ""];
        continue;
      }
      const value = values.length > 0 ? values.join("=") : args[++n];
      if (value === undefined) throw wrong(`option '--${option}' requires an argument`);
      yield [option, value];
      continue;
    }
    if (!arg.startsWith("-") || arg === "-") {
      yield ["", arg];
      continue;
    }
    for (let at = 1; at < arg.length; at++) {
      const option = arg[at]!;
      if (!Object.hasOwn(short, option)) throw wrong(`invalid option -- '${option}'`);
      if (!short[option]) {
        yield [option, ""];
        continue;
      }
      const value = at + 1 < arg.length ? arg.slice(at + 1) : args[++n];
      if (value === undefined) throw wrong(`option requires an argument -- '${option}'`);
      yield [option, value];
      break;
    }
  }
}
