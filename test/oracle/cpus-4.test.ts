/** All stock tools on the dumps of machines with four CPUs. */
import { oracle } from "./features.ts";
import { shapesOf } from "./shapes.ts";
import { TOOLS } from "./tools/index.ts";

for (const shape of shapesOf(4)) oracle(shape, TOOLS);
