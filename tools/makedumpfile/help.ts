/** What `makedumpfile --help` and -v print. */

export const VERSION = "1.7.2";

export const HELP = `makedumpfile - filter and compress a dump

Usage: makedumpfile [-c|-l|-p|-z|-E] [-d LEVEL] [-f] VMCORE DUMPFILE
       makedumpfile -F [-c|-l|-p|-z|-E] [-d LEVEL] VMCORE > FLATTENED
       makedumpfile -R [-f] DUMPFILE < FLATTENED
       makedumpfile --split [-c|-l|-p|-z] [-d LEVEL] VMCORE DUMPFILE DUMPFILE...
       makedumpfile --reassemble DUMPFILE DUMPFILE... OUTPUT
       makedumpfile --dump-dmesg [--partial-dmesg] VMCORE LOGFILE
       makedumpfile -g VMCOREINFO -x VMLINUX
       makedumpfile --mem-usage VMCORE
       makedumpfile [-d LEVEL] --explain PAGE [--explain PAGE...] VMCORE

VMCORE is an x86_64 dump in ELF or kdump-compressed form, flattened or not.

Options:
  -c -l -p -z        compress each page with zlib, lzo, snappy, zstd; the last one
                     given counts
  -E                 write an ELF core; runs of 256 excluded pages and more are cut out
  -d LEVEL[,LEVEL...]
                     leave out pages, by the sum of: 1 pages of zeros, 2 page cache,
                     4 page cache with private data (and that of 2), 8 pages of
                     processes, 16 free pages (0: keep all); each further level is
                     tried when the dump is too large at the one before
  -L SIZE            the most bytes that DUMPFILE may have, K M G T P E for powers of
                     1024; as much as fits is left, and marked as incomplete
  -e                 of the memory map too what describes pages left out alone, where it
                     lies in huge pages; asks for --work-dir as the original does
  -x VMLINUX         take the kernel's symbols and types from its vmlinux with debugging
                     information, not from the dump
  -i VMCOREINFO      take them from a file that -g wrote
  -g VMCOREINFO      write that file
  --config FILE      overwrite what the rules in FILE name, see makedumpfile.conf(5);
                     needs -x
  -F                 write a flattened stream to standard output, all messages to
                     standard error
  -R                 rearrange a flattened stream from standard input into DUMPFILE
  --split            several files of a part of the pages each
  --reassemble       one file of those
  --dump-dmesg       write the kernel's log to LOGFILE
  --partial-dmesg    of the log what was not cleared (dmesg --clear)
  --mem-usage        how many pages of each kind memory has
  --explain PAGE     (of this program alone) the rule that keeps a page or leaves it
                     out at the level of -d, and what its struct page says; PAGE is
                     the page's number, or the address of a kernel's page
  --vtop ADDRESS     print where a virtual address lies, by the page tables
  -f                 overwrite DUMPFILE
  --dry-run          do everything but write DUMPFILE
  --check-params     say by the exit status whether the options are right
  --message-level N  the sum of: 1 progress, 2 common messages, 4 errors, 8 debug
                     messages, 16 the report (7)
  --show-stats       the report too
  -D                 debug messages too
  -h --help  -v      this text; the version whose options these are

Accepted, and of no effect on what is written: -b ORDER, --cyclic-buffer KIB,
--non-cyclic, --splitblock-size KIB, --work-dir DIR, --non-mmap, --num-threads N.
Not supported: -X, --eppic, --diskset, rules for modules, and Xen.

Exit status:
  0  done
  1  failed; the reason is told
  2  VMCORE is of another kernel than VMLINUX or VMCOREINFO
`;
