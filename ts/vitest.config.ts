import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string) => fileURLToPath(new URL(`packages/${path}`, import.meta.url));

export default defineConfig({
  test: {
    include: ["packages/*/test/**/*.test.{ts,tsx}", "demo/test/**/*.test.ts", "test/**/*.test.ts"],
    testTimeout: 30_000,
  },
  // The packages see each other's sources: nothing has to be built before the tests.
  resolve: {
    alias: [
      { find: /^@holdfast\/(client|outbox|react|status|producer|ai-sdk)$/, replacement: source("$1/src/index.ts") },
    ],
  },
});
