/** The names of this kernel (init/version.c): its banner and utsname are initial data, see abi/boot. */
import { new_utsname } from "../include/generated/structs";
import { sym } from "../include/generated/symbols";

export function init_utsname(): new_utsname {
  return sym.init_uts_ns.name;
}
