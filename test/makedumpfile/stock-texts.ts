/**
 * What makedumpfile 1.7.2 says to command lines for which it needs no kernel's memory: recorded, so that the
 * tests know it without the tool; test/oracle compares the record with the tool itself.
 */

export interface StockText {
  args: string;
  status: number;
  /** What comes on standard output. */
  said: string;
  /** What comes on standard error. */
  errors?: string;
}

/** An ELF core of 64 KiB without VMCOREINFO (support/dumps.ts makes it), and a file that is there. */
export const MUTE = "mute";
export const TAKEN = "taken";

const FAILED = "\nmakedumpfile Failed.\n";
const INVALID = "Commandline parameter is invalid.\nTry `makedumpfile --help' for more information.\n";
const invalid = (args: string, errors = "", said = ""): StockText => ({
  args,
  status: 1,
  said: `${said}${INVALID}${FAILED}`,
  errors,
});
const refused = (args: string, said: string, errors = ""): StockText => ({
  args,
  status: 1,
  said: `${said}${FAILED}`,
  errors,
});
const saved = (args: string, name: string, said = ""): StockText => ({
  args,
  status: 0,
  said: `${said}\nThe dumpfile is saved to ${name}.\n\nmakedumpfile Completed.\n`,
});
const getopt = (args: string, said: string): StockText => invalid(args, `makedumpfile: ${said}\n`);
const full = (name: string, limit: number): string =>
  `\nCan't write the dump file(${name}). Size limit(${limit}) reached.\n`;
const retry = (level: number): string => `Retry to create a dumpfile by dump_level(${level}).\n`;
const INCOMPLETE = "This is an incomplete dumpfile, but might analyzable.\n";
const NO_INFO = `${MUTE} doesn't contain vmcoreinfo.\nSpecify '-x' option or '-i' option.\n${INVALID}`;

export const STOCK_TEXTS: readonly StockText[] = [
  // getopt_long
  getopt("-Q mute new", "invalid option -- 'Q'"),
  getopt("--frob mute new", "unrecognized option '--frob'"),
  getopt(
    "--s mute new",
    "option '--s' is ambiguous; possibilities: '--split' '--splitblock-size' '--show-stats'",
  ),
  getopt(
    "--xen mute new",
    "option '--xen' is ambiguous; possibilities: '--xen-syms' '--xen-vmcoreinfo' '--xen_phys_start'",
  ),
  getopt("--split=2 mute new", "option '--split' doesn't allow an argument"),
  getopt("--message-level", "option '--message-level' requires an argument"),
  getopt("mute new -d", "option requires an argument -- 'd'"),
  // values
  refused("-d 32 mute new", "Dump_level(32) is invalid.\n"),
  refused("-d 1,2,33 mute new", "Dump_level(33) is invalid.\n"),
  refused("-L 0 mute new", "Limit size(0) is invalid.\n"),
  refused("-L 5z mute new", "Limit size(5z) is invalid.\n"),
  refused("-L 16E mute new", "Limit size(16E) is invalid.\n"),
  refused("--message-level 32 mute new", "Message_level(32) is invalid.\n"),
  // where it is said
  { args: "--message-level 0 -d 32 mute new", status: 1, said: "", errors: "" },
  { args: "-F -d 32 mute", status: 1, said: "", errors: `Dump_level(32) is invalid.\n${FAILED}` },
  { args: "--check-params -d 32 mute new", status: 1, said: "Dump_level(32) is invalid.\n" },
  { args: "--check-params mute", status: 1, said: INVALID },
  { args: "--check-params --message-level 0 mute", status: 1, said: INVALID },
  { args: "--check-params -L 5M -d 1,31 nowhere new", status: 0, said: "" },
  refused("-L 0 --check-params mute new", "Limit size(0) is invalid.\n"),
  // what goes together
  invalid(""),
  invalid("mute"),
  invalid("mute new more"),
  { args: "-F mute new", status: 1, said: "", errors: `${INVALID}${FAILED}` },
  invalid("-E -c mute new"),
  { args: "--split -F mute a b", status: 1, said: "", errors: `${INVALID}${FAILED}` },
  invalid("--split mute new"),
  invalid("--split -E mute new"),
  invalid("--split -E mute a b", "", "Options for splitting dumpfile cannot be used with Elf format.\n"),
  invalid("--split -E -l mute a b"),
  invalid("--partial-dmesg mute new"),
  invalid("--dry-run --dump-dmesg mute new", "", "--dry-run cannot be used with --dump-dmesg.\n"),
  invalid("--dry-run --reassemble a b c", "", "--dry-run cannot be used with --reassemble.\n"),
  invalid("-e mute new", "", "-e requires --work-dir\n"),
  invalid("--reassemble --split a b c"),
  invalid("--reassemble -d 1 a b c"),
  invalid("-R"),
  invalid("-R -c new"),
  invalid("-R -d 31 new"),
  { args: "-R -F new", status: 1, said: "", errors: `${INVALID}${FAILED}` },
  invalid("--mem-usage"),
  invalid("--mem-usage mute a b"),
  // files
  refused("mute taken", "", "check_dump_file: Can't open the dump file (taken). File exists\n"),
  refused("--dry-run mute taken", "", "check_dump_file: Can't open the dump file (taken). File exists\n"),
  refused("--dump-dmesg mute taken", "", "check_dump_file: Can't open the dump file (taken). File exists\n"),
  refused("-R taken", "", "check_dump_file: Can't open the dump file (taken). File exists\n"),
  refused("--split mute new taken", "", "check_dump_file: Can't open the dump file (taken). File exists\n"),
  refused(
    "nowhere new",
    "",
    "open_dump_memory: Can't open the dump memory(nowhere). No such file or directory\n",
  ),
  refused("mute no/new", "", "open_dump_file: Can't open the dump file(no/new). No such file or directory\n"),
  // a dump without VMCOREINFO
  saved("-d 0 mute new", "new"),
  saved("-d 1 mute new", "new"),
  saved("-E -d 1 mute new", "new"),
  saved("-f -d 1 mute taken", "taken"),
  saved("--dry-run -d 1 mute new", "new"),
  saved("-d , mute new", "new"),
  refused("-d 2 mute new", NO_INFO),
  refused("-d 1,31 mute new", NO_INFO),
  // -L
  saved("-L 1M -d 0,1 mute new", "new"),
  refused("-L 50000 mute new", `${full("new", 50000)}${INCOMPLETE}`),
  refused("-L 50000 -E mute new", `${full("new", 50000)}${INCOMPLETE}`),
  saved("-L 70000 -d 0,1 mute new", "new", `${full("new", 70000)}${retry(1)}`),
  refused("-L 48K -E -d 0,0 mute new", `${full("new", 49152)}${retry(0)}${full("new", 49152)}${INCOMPLETE}`),
  refused("-L 5000 -d 0,1 mute new", `${full("new", 5000)}${retry(1)}${full("new", 5000)}${INCOMPLETE}`),
  { args: "--message-level 4 -L 50000 mute new", status: 1, said: "" },
];
