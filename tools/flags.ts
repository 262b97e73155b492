/**
 * Flags of a command line: `--name value`, `--name=value`, `--switch`; and the two errors that commands end
 * with.
 */

/** The command was called wrongly: one line that says what to do. Exit status 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** The command could not do its work: the reason in a line. Exit status 1. */
export class CommandError extends Error {
  override name = "CommandError";
}

/** A flag: what its value is called, or "switch"; `many` may be given several times. */
export interface FlagForm {
  value: string | "switch";
  many?: boolean;
}

export interface ParsedFlags {
  /** The values given, in order; a switch has one empty value. */
  values: Map<string, string[]>;
  /** What is no flag. */
  operands: string[];
}

/**
 * UsageError for a flag that is not in `forms`, one without its value, or one given twice that may not be.
 */
export function parseFlags(forms: Record<string, FlagForm>, args: readonly string[]): ParsedFlags {
  const values = new Map<string, string[]>();
  const operands: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (!arg.startsWith("-") || arg === "-") {
      operands.push(arg);
      continue;
    }
    if (arg === "--") {
      operands.push(...args.slice(i + 1));
      break;
    }
    const equals = arg.startsWith("--") ? arg.indexOf("=") : -1;
    const name = equals < 0 ? arg : arg.slice(0, equals);
    const form = Object.hasOwn(forms, name) ? forms[name]! : undefined;
    if (form === undefined) throw new UsageError(`unknown flag ${name}`);
    if (values.has(name) && !form.many) throw new UsageError(`${name} is given twice`);
    let value = "";
    if (form.value === "switch") {
      if (equals >= 0) throw new UsageError(`${name} takes no value`);
    } else if (equals >= 0) value = arg.slice(equals + 1);
    else {
      const next = args[++i];
      if (next === undefined) throw new UsageError(`${name} wants a value: ${name} ${form.value}`);
      value = next;
    }
    values.set(name, [...(values.get(name) ?? []), value]);
  }
  return { values, operands };
}
