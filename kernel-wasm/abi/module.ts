/**
 * Loadable modules (include/linux/module.h): the list that debuggers and /proc/modules walk, and the
 * descriptor that module space holds for each.
 */
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
    struct module {
      enum module_state state;
      struct list_head list;
      char name[MODULE_NAME_LEN];
      const char *version;
      const char *srcversion;
      const struct kernel_symbol *syms;
      const s32 *crcs;
      unsigned int num_syms;
      unsigned int num_gpl_syms;
      const struct kernel_symbol *gpl_syms;
      const s32 *gpl_crcs;
      bool using_gplonly_symbols;
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
  `,
  data: `
    struct list_head modules;
  `,
  defines: { MODULE_NAME_LEN: 56 },
  targets: ["production"],
});
