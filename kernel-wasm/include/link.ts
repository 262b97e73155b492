/**
 * What the link step resolves: the image's place, the stack pointer and CPU number (the module's only mutable
 * globals), addresses of functions and of link-made symbols. Everything here is global: kernel code uses it
 * without an import.
 */

/** Physical address of the image's data; every symbol of the layout is `__base + N`. */
@global @external("env", "__base") declare const __base: usize;
/** Physical minus link address of the image, as Linux's phys_base: 0 for a kernel loaded at 1 MiB. */
@global @external("env", "__phys_base") declare const __phys_base: usize;

@global @external("link", "get_sp") declare function get_sp(): usize;
@global @external("link", "set_sp") declare function set_sp(sp: usize): void;
@global @external("link", "get_cpu") declare function get_cpu(): u32;
@global @external("link", "set_cpu") declare function set_cpu(cpu: u32): void;
@global @external("link", "text_address") declare function text_address(fn: usize): u64;

@global @external("link", "sym__text") declare function sym__text(): usize;
@global @external("link", "sym__stext") declare function sym__stext(): usize;
@global @external("link", "sym__etext") declare function sym__etext(): usize;
@global @external("link", "sym__end") declare function sym__end(): usize;
@global @external("link", "sym___wasm_start") declare function sym___wasm_start(): usize;
@global @external("link", "sym___wasm_end") declare function sym___wasm_end(): usize;
@global @external("link", "sym_kallsyms_num_syms") declare function sym_kallsyms_num_syms(): usize;
@global @external("link", "sym_kallsyms_offsets") declare function sym_kallsyms_offsets(): usize;
@global @external("link", "sym_kallsyms_relative_base") declare function sym_kallsyms_relative_base(): usize;
@global @external("link", "sym_kallsyms_names") declare function sym_kallsyms_names(): usize;
@global @external("link", "sym_kallsyms_markers") declare function sym_kallsyms_markers(): usize;
@global @external("link", "sym_kallsyms_token_table") declare function sym_kallsyms_token_table(): usize;
@global @external("link", "sym_kallsyms_token_index") declare function sym_kallsyms_token_index(): usize;
@global @external("link", "sym___start___ksymtab") declare function sym___start___ksymtab(): usize;
@global @external("link", "sym___stop___ksymtab") declare function sym___stop___ksymtab(): usize;
@global @external("link", "sym_kexec_purgatory") declare function sym_kexec_purgatory(): usize;
@global @external("link", "sym_kexec_purgatory_end") declare function sym_kexec_purgatory_end(): usize;
@global @external("link", "sym_kernel_config_data") declare function sym_kernel_config_data(): usize;
@global @external("link", "sym_kernel_config_data_end") declare function sym_kernel_config_data_end(): usize;

/** Text address of a plain top-level function: what a function pointer in memory holds. */
@global @inline function fnptr<T>(f: T): u64 {
  return text_address(changetype<usize>(f));
}

@global @inline function isnull<T>(x: T): bool {
  return changetype<usize>(x) == 0;
}
