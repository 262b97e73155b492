/**
 * What may be done with a module's pages (kernel/module/strict_rwx.c): text is run, constants and the code
 * that the CPUs take in are read, data is written.
 */
import { __PAGE_KERNEL, __PAGE_KERNEL_RO, __PAGE_KERNEL_ROX } from "../../include/generated/constants";
import { module_ } from "../../include/generated/structs";
import { module_set_memory, module_set_text } from "../../arch/kernel/module";

export function set_module_memory(mod: module_): void {
  const layout = mod.core_layout;
  const base = layout.base;
  module_set_memory(base, layout.text_size, __PAGE_KERNEL_ROX);
  module_set_memory(base + layout.text_size, layout.ro_size - layout.text_size, __PAGE_KERNEL_RO);
  module_set_memory(base + layout.ro_size, layout.size - layout.ro_size, __PAGE_KERNEL);
  module_set_text(base, layout.text_size);
}
