/**
 * The options of kexec(8), read as getopt_long reads them: -ps is -p -s, --append takes `=STRING` or the next
 * word.
 */

export class OptionsError extends Error {
  override name = "OptionsError";
}

export interface Options {
  action: "help" | "load" | "unload" | "exec" | "status";
  /** -p: the kernel for a crash; false after -l; undefined when neither was given. */
  panic?: boolean;
  /** Which system call -c, -s and -a ask for. */
  syscall: "file" | "load" | "auto";
  cmdline: string;
  reuseCmdline: boolean;
  initrd?: string;
  kernel?: string;
}

type Apply = (options: Options, value: string) => void;

interface Option {
  names: string[];
  takes?: true;
  apply: Apply;
}

const load: Apply = (options) => {
  if (options.action !== "unload" && options.action !== "status") options.action = "load";
};

const OPTIONS: Option[] = [
  { names: ["-h", "--help"], apply: (o) => void (o.action = "help") },
  { names: ["-u", "--unload"], apply: (o) => void (o.action = "unload") },
  { names: ["-e", "--exec"], apply: (o) => void (o.action = "exec") },
  { names: ["-S", "--status"], apply: (o) => void (o.action = "status") },
  {
    names: ["-l", "--load"],
    apply: (o, value) => {
      load(o, value);
      o.panic = false;
    },
  },
  {
    names: ["-p", "--load-panic"],
    apply: (o, value) => {
      load(o, value);
      o.panic = true;
    },
  },
  { names: ["-s", "--kexec-file-syscall"], apply: (o) => void (o.syscall = "file") },
  { names: ["-c", "--kexec-syscall"], apply: (o) => void (o.syscall = "load") },
  { names: ["-a", "--kexec-syscall-auto"], apply: (o) => void (o.syscall = "auto") },
  { names: ["--append", "--command-line"], takes: true, apply: (o, value) => void (o.cmdline = value) },
  { names: ["--reuse-cmdline"], apply: (o) => void (o.reuseCmdline = true) },
  { names: ["--initrd", "--ramdisk"], takes: true, apply: (o, value) => void (o.initrd = value) },
];

/** OptionsError, in getopt's words, for what kexec does not know. */
export function parseOptions(args: readonly string[]): Options {
  const options: Options = { action: "load", syscall: "auto", cmdline: "", reuseCmdline: false };
  const queue = [...args];
  for (let arg = queue.shift(); arg !== undefined; arg = queue.shift()) {
    if (arg.startsWith("--")) {
      const [name = "", ...rest] = arg.split("=");
      const option = OPTIONS.find(({ names }) => names.includes(name));
      if (option === undefined) throw new OptionsError(`unrecognized option '${arg}'`);
      if (!option.takes && rest.length > 0)
        throw new OptionsError(`option '${name}' doesn't allow an argument`);
      const value = rest.length > 0 ? rest.join("=") : option.takes ? queue.shift() : "";
      if (value === undefined) throw new OptionsError(`option '${name}' requires an argument`);
      option.apply(options, value);
    } else if (arg.startsWith("-") && arg !== "-") {
      for (const letter of arg.slice(1)) {
        const option = OPTIONS.find(({ names }) => names.includes(`-${letter}`));
        if (option === undefined) throw new OptionsError(`invalid option -- '${letter}'`);
        option.apply(options, "");
      }
    } else if (options.kernel === undefined) options.kernel = arg;
    else throw new OptionsError(`unexpected operand '${arg}'`);
  }
  return options;
}
