/** All stock tools on the dumps of machines with one CPU. */
import { oracle } from "./features.ts";
import { shapesOf } from "./shapes.ts";
import { TOOLS } from "./tools/index.ts";

for (const shape of shapesOf(1)) oracle(shape, TOOLS);
