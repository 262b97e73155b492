/**
 * Loadable modules (include/linux/module.h, moduleparam.h): the list that debuggers and /proc/modules walk,
 * the descriptor that module space holds for each, parameters, and the code table, which the CPUs read.
 */
import { KERNEL_RELEASE } from "./config.ts";
import { abi } from "./dsl.ts";

export default abi({
  structs: `
    typedef struct elf64_sym {
      u32 st_name;
      unsigned char st_info;
      unsigned char st_other;
      u16 st_shndx;
      u64 st_value;
      u64 st_size;
    } Elf64_Sym;
    typedef struct elf64_shdr {
      u32 sh_name;
      u32 sh_type;
      u64 sh_flags;
      u64 sh_addr;
      u64 sh_offset;
      u64 sh_size;
      u32 sh_link;
      u32 sh_info;
      u64 sh_addralign;
      u64 sh_entsize;
    } Elf64_Shdr;
    typedef struct elf64_rela { u64 r_offset; u32 r_type; u32 r_sym; s64 r_addend; } Elf64_Rela;

    struct mod_kallsyms { Elf64_Sym *symtab; unsigned int num_symtab; char *strtab; char *typetab; };
    struct kernel_symbol { int value_offset; int name_offset; int namespace_offset; };
    struct module_layout {
      void *base;
      unsigned int size;
      unsigned int text_size;
      unsigned int ro_size;
      unsigned int ro_after_init_size;
    };
    enum module_state { MODULE_STATE_LIVE, MODULE_STATE_COMING, MODULE_STATE_GOING, MODULE_STATE_UNFORMED };
    struct kernel_param_ops {
      unsigned int flags;
      int (*set)(const char *val, const struct kernel_param *kp);
      int (*get)(char *buffer, const struct kernel_param *kp);
      void (*free)(const struct kernel_param *kp);   /* Linux: of the value alone */
    };
    struct kernel_param {
      const char *name;
      struct module *mod;
      const struct kernel_param_ops *ops;
      const u16 perm;
      s8 level;
      u8 flags;
      void *arg;
    };
    struct module {
      enum module_state state;
      struct list_head list;
      char name[MODULE_NAME_LEN];
      struct kernfs_node *kobj;            /* /sys/module/NAME (Linux: mkobj) */
      const char *version;
      const char *srcversion;
      const struct kernel_symbol *syms;
      const s32 *crcs;
      unsigned int num_syms;
      struct kernel_param *kp;
      unsigned int num_kp;
      unsigned int num_gpl_syms;
      const struct kernel_symbol *gpl_syms;
      const s32 *gpl_crcs;
      bool using_gplonly_symbols;
      bool sig_ok;
      int (*init)(void);
      struct module_layout core_layout __aligned(64);
      struct module_layout init_layout;
      unsigned long taints;
      struct mod_kallsyms *kallsyms;
      struct mod_kallsyms core_kallsyms;
      char *args;
      struct list_head source_list;
      struct list_head target_list;
      void (*exit)(void);
      atomic_t refcnt;
    } __aligned(64);

    /* A file on its way to become a module (kernel/module/internal.h); sections by number, 0 for none. */
    struct load_info {
      const char *name;
      struct module *mod;
      struct elf64_hdr *hdr;
      unsigned long len;
      Elf64_Shdr *sechdrs;
      char *secstrings;
      char *strtab;
      unsigned long symoffs, stroffs, typeoffs;
      unsigned int core_syms;
      unsigned int table_base, table_slots;
      struct { unsigned int sym, str, mod, info, text, wasm; } index;
    };

    /* Code that is loaded beside the kernel's: every CPU takes it in from here. */
    struct code_entry { u64 generation; u64 start; u32 size; u32 table_base; u32 table_slots; u32 reserved; };
    struct code_table { u64 generation; u32 count; u32 reserved; struct code_entry entries[MODULES_MAX]; };
  `,
  data: `
    struct list_head modules;
    char vermagic[64];
  `,
  bss: `
    struct mutex module_mutex;
    struct code_table code_table;
    char last_unloaded_module[MODULE_NAME_LEN + MODULE_FLAGS_BUF_SIZE];
    char module_flags_buf[MODULE_FLAGS_BUF_SIZE];
    /* Module space is one block of memory: where it is, and a bit for each page that a module has. */
    u64 module_space_phys;
    u64 module_space_pages;
    u64 module_space_text;
    struct kernfs_node *module_kset;
    struct module *module_being_parsed;
    int module_parse_error;
    struct kernel_param_ops param_ops_int, param_ops_uint, param_ops_ulong, param_ops_bool, param_ops_charp;
  `,
  init: { vermagic: `${KERNEL_RELEASE} SMP mod_unload ` },
  defines: {
    MODULE_NAME_LEN: 56,
    MODULE_FLAGS_BUF_SIZE: "TAINT_FLAGS_COUNT + 4",
    MODULE_REF_BASE: 1,
    MODULES_MAX: 32,
    /** A bit of a u64 for each page. */
    MODULE_SPACE_ORDER: 6,
    MODULE_SPACE_SIZE: "1 << (MODULE_SPACE_ORDER + 12)",
    MODULE_INIT_IGNORE_MODVERSIONS: 1,
    MODULE_INIT_IGNORE_VERMAGIC: 2,
    ET_REL: 1,
    SHT_PROGBITS: 1,
    SHT_SYMTAB: 2,
    SHT_STRTAB: 3,
    SHT_RELA: 4,
    SHT_NOBITS: 8,
    SHF_WRITE: 1,
    SHF_ALLOC: 2,
    SHF_EXECINSTR: 4,
    SHN_UNDEF: 0,
    SHN_LORESERVE: 0xff00,
    STT_SECTION: 3,
    R_X86_64_64: 1,
    R_X86_64_PLT32: 4,
    R_X86_64_32: 10,
    /** The types of WebAssembly's object files, for the section .wasm. */
    R_WASM_TABLE_INDEX_SLEB: 1,
    R_WASM_MEMORY_ADDR_SLEB: 4,
    R_WASM_TABLE_INDEX_REL_SLEB: 12,
    R_WASM_MEMORY_ADDR_SLEB64: 15,
  },
  backtrace: ["load_module", "do_init_module", "__do_sys_delete_module", "module_put", "try_module_get"],
  exports: [
    "__phys_addr",
    "__virt_addr",
    "text_index",
    "BUG",
    "WARN",
    "__kmalloc",
    "add_timer",
    "copy_from_buf",
    "copy_to_buf",
    "del_timer_sync",
    "dump_stack",
    "jiffies_64",
    "kfree",
    "kstrtoint",
    "list_add_tail",
    "list_del",
    "mdelay",
    "memcmp",
    "mod_timer",
    "module_put",
    "panic",
    "param_ops_bool",
    "param_ops_charp",
    "param_ops_int",
    "param_ops_uint",
    "param_ops_ulong",
    "pr_err",
    "pr_info",
    "pr_warn",
    "printk",
    "proc_create",
    "proc_create_single",
    "proc_remove",
    "schedule",
    "seq_lseek",
    "seq_printf",
    "seq_puts",
    "seq_read",
    "single_open",
    "single_release",
    "strcmp",
    "strlen",
    "strim",
    "timer_setup",
    "try_module_get",
  ],
  targets: ["production"],
});
