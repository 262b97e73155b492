/**
 * How the tests run. What may hang runs in a process of its own with a time limit: vitest cannot stop a loop.
 */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
