import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";

const root = new URL("..", import.meta.url).pathname;
const core = 'export { Client, HoldfastError } from "./index.ts";';

async function size(source: string): Promise<number> {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: `${root}src`, loader: "ts" },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
  });
  return gzipSync(outputFiles[0]?.contents ?? "", { level: 9 }).length;
}

describe("what comes on top of the core, minified and compressed", () => {
  it.each([
    ["tabs", 7.6],
    ["fallback", 3.5],
  ])("%s is at most %d KB", async (name, limit) => {
    const more = (await size(`${core} export * from "./${name}/index.ts";`)) - (await size(core));
    expect(more).toBeGreaterThan(1_000);
    expect(more).toBeLessThanOrEqual(limit * 1024);
  });

  it.each(["tabs", "fallback"])("%s can be imported where there is no browser", async (name) => {
    const made = (await import(`../src/${name}/index.ts`)) as Record<string, () => unknown>;
    expect(typeof made[name]?.()).toBe("function");
  });
});
