import { defineConfig } from "vitest/config";

// One browser and one server at a time: what comes back is timed.
export default defineConfig({
  test: {
    include: ["rig/test/**/*.test.ts"],
    testTimeout: 90_000,
    hookTimeout: 240_000,
    fileParallelism: false,
  },
});
