import { defineConfig } from "vitest/config";

// Few browsers at a time: what comes back is timed.
export default defineConfig({
  test: {
    include: ["rig/test/**/*.test.ts"],
    testTimeout: 90_000,
    hookTimeout: 240_000,
    fileParallelism: false,
    maxConcurrency: 2,
  },
});
