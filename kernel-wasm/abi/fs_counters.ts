/**
 * How many files, names and inodes there are (fs/{file_table,dcache,inode}.c): counted per CPU, summed for
 * /proc/sys/fs.
 */
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    struct files_stat_struct { unsigned long nr_files, nr_free_files, max_files; };
    struct dentry_stat_t { long nr_dentry, nr_unused, age_limit, want_pages, nr_negative, dummy; };
    struct inodes_stat_t { long nr_inodes, nr_unused; long dummy[5]; };
  `,
  bss: `
    struct files_stat_struct files_stat;
    struct dentry_stat_t dentry_stat;
    struct inodes_stat_t inodes_stat;
    int sysctl_drop_caches;
    int drop_caches_quiet;
    unsigned long nr_hugepages_written;
  `,
  percpu: `
    long nr_files;
    long nr_dentry;
    long nr_dentry_unused;
    long nr_inodes;
  `,
  targets: ["production"],
});
