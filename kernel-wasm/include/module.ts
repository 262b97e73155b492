/**
 * What a loadable module sees of itself, global as in include/link.ts: where its data is, and its descriptor.
 */
import { module_ } from "./generated/structs";

@global @external("env", "__module_data") declare const __module_data: usize;
@external("kernel", "__this_module") declare const __this_module: usize;

@global @inline function THIS_MODULE(): module_ {
  return changetype<module_>(__this_module);
}
