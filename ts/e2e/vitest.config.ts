import { defineConfig } from "vitest/config";

// One browser and one server at a time: the tests measure no speed, and small machines run them.
export default defineConfig({
  test: {
    include: ["e2e/**/*.test.ts", "rig/test/**/*.test.ts"],
    testTimeout: 90_000,
    hookTimeout: 240_000,
    fileParallelism: false,
  },
});
