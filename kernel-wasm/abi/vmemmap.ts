/**
 * What only the production kernel has of memory management: its image and its memory map at their virtual
 * addresses, for debuggers. The capture kernel, which nobody dumps, maps physical memory alone and saves six
 * tables of its few pages.
 */
import { abi } from "./dsl.ts";

export default abi({
  page_aligned: `
    unsigned long level3_kernel_pgt[512];
    unsigned long level2_kernel_pgt[512];
  `,
  // drgn takes the function's name for the sign that there is a vmemmap.
  backtrace: ["vmemmap_populate"],
  targets: ["production"],
});
