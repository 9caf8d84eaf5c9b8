import { defineConfig } from "vitest/config";

// These tests mostly wait, for words that a model would be writing, so two files run side by side. They measure no speed.
export default defineConfig({
  test: {
    include: ["e2e/**/*.test.ts"],
    testTimeout: 90_000,
    hookTimeout: 240_000,
    maxWorkers: process.env["HOLDFAST_TEST_BIN"] ? 2 : 1,
  },
});
