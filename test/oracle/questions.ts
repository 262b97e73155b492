/**
 * Questions to a tool that runs Python scripts: all of them are asked in one run of the tool for a dump, when
 * the first answer is wanted.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../support/stock.ts";
import type { OracleDump } from "./features.ts";

const PYTHON = "/usr/bin/python3";
const TIMEOUT_MS = 240_000;

type Answers = Record<string, { answer?: unknown; error?: string }>;

export class Questions {
  readonly #bodies = new Map<string, string>();
  readonly #answers = new WeakMap<OracleDump, Answers>();
  readonly #start: (dump: OracleDump) => string;
  readonly #args: (dump: OracleDump) => readonly string[];

  /** Lines that the script begins with, and what stands before its name on Python's command line. */
  constructor(start: (dump: OracleDump) => string, args: (dump: OracleDump) => readonly string[] = () => []) {
    this.#start = start;
    this.#args = args;
  }

  /**
   * A question: the body of a Python function that returns what JSON can say. `truth` is the dump's, `kind`
   * its kind. Gives a function that has the answer, and throws what the script did.
   */
  question<Answer>(body: string): (dump: OracleDump) => Answer {
    const name = `question${this.#bodies.size}`;
    this.#bodies.set(name, body);
    return (dump) => {
      const { answer, error } = this.#ask(dump)[name]!;
      if (error !== undefined) throw new Error(error);
      return answer as Answer;
    };
  }

  #ask(dump: OracleDump): Answers {
    const known = this.#answers.get(dump);
    if (known !== undefined) return known;
    const functions = [...this.#bodies].map(
      ([name, body]) => `def ${name}():\n${body.replaceAll(/^/gm, "  ")}\n`,
    );
    const script = `${this.#start(dump)}
import traceback
truth = json.load(open(${JSON.stringify(dump.json)}))
kind = ${JSON.stringify(dump.kind)}
${functions.join("\n")}
answers = {}
for function in [${[...this.#bodies.keys()].join(", ")}]:
  try: answers[function.__name__] = {"answer": function()}
  except Exception: answers[function.__name__] = {"error": traceback.format_exc()}
print(json.dumps(answers))
`;
    const file = join(dump.directory, `${this.constructor.name}.py`);
    writeFileSync(file, script);
    const { status, stdout, stderr } = run(PYTHON, [...this.#args(dump), file], { timeout_ms: TIMEOUT_MS });
    if (status !== 0 || stderr !== "") throw new Error(`it ended with ${status}: ${stderr}`);
    const answers: Answers = JSON.parse(stdout);
    this.#answers.set(dump, answers);
    return answers;
  }
}
