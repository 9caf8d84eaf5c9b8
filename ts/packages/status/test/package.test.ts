import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";

const root = new URL("..", import.meta.url).pathname;
const sources = readdirSync(`${root}src`).map((name) => ({ name, text: readFileSync(`${root}src/${name}`, "utf8") }));

describe("the package", () => {
  it("is at most 2 KB, minified and compressed, as it is imported for its effect alone", async () => {
    const { outputFiles } = await build({
      stdin: { contents: 'import "./index.ts";', resolveDir: `${root}src`, loader: "ts" },
      bundle: true,
      minify: true,
      format: "esm",
      target: "es2022",
      write: false,
    });
    const size = gzipSync(outputFiles[0]?.contents ?? "", { level: 9 }).length;
    expect(size).toBeGreaterThan(1_000);
    expect(size).toBeLessThanOrEqual(2 * 1024);
  });

  it("does nothing on a server", async () => {
    const { HoldfastStatus } = await import("../src/index.ts");
    expect(globalThis.customElements).toBeUndefined();
    expect(typeof HoldfastStatus).toBe("function");
  });

  it("tells bundlers that its import has an effect, from where it is built and where its source is", () => {
    const manifest = JSON.parse(readFileSync(`${root}package.json`, "utf8")) as { readonly sideEffects: unknown };
    expect(manifest.sideEffects).toEqual(["./dist/index.js", "./src/index.ts"]);
  });

  it.each(sources)("$name imports only its own and the client's types, and has no any", ({ text }) => {
    for (const [line, from] of text.matchAll(/^.* from "([^"]+)"/gm)) {
      if (from?.startsWith("./")) continue;
      expect(line).toMatch(/^import type .* from "@holdfast\/client"/);
    }
    expect(text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "")).not.toMatch(/\bany\b/);
  });
});
