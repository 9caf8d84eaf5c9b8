import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";

const root = new URL("..", import.meta.url).pathname;
const sources = readdirSync(`${root}src`).map((name) => ({ name, text: readFileSync(`${root}src/${name}`, "utf8") }));

describe("the package", () => {
  it("is at most 1 KB, minified and compressed", async () => {
    const { outputFiles } = await build({
      entryPoints: [`${root}src/index.ts`],
      bundle: true,
      minify: true,
      format: "esm",
      target: "es2022",
      external: ["react", "@holdfast/client"],
      write: false,
    });
    const size = gzipSync(outputFiles[0]?.contents ?? "", { level: 9 }).length;
    expect(size).toBeGreaterThan(300);
    expect(size).toBeLessThanOrEqual(1024);
  });

  it.each(sources)(
    "$name imports only its own, React, and of the client older() and types, and has no any",
    ({ text }) => {
      for (const [line, from] of text.matchAll(/^.* from "([^"]+)"/gm)) {
        if (from?.startsWith("./") || from === "react") continue;
        expect(line).toMatch(/^import (type .*|\{ older, stop \}) from "@holdfast\/client"/);
      }
      expect(text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "")).not.toMatch(/\bany\b/);
    },
  );
});
