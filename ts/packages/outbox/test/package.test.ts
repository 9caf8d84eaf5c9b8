import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";

const root = new URL("..", import.meta.url).pathname;

async function bundle(source: string): Promise<number> {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: `${root}src`, loader: "ts" },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
  });
  return gzipSync(outputFiles[0]?.contents ?? "nothing was built", { level: 9 }).length;
}

const sources = readdirSync(`${root}src`).map((name) => ({ name, text: readFileSync(`${root}src/${name}`, "utf8") }));

describe("the package", () => {
  it("is at most 2 KB for the outbox, minified and compressed, and little more with the cache", async () => {
    const outbox = await bundle('export { durableOutbox } from "./index.ts";');
    const cache = await bundle('export { sessionCache } from "./index.ts";');
    const both = await bundle('export * from "./index.ts";');
    expect(outbox).toBeGreaterThan(500);
    expect(outbox).toBeLessThanOrEqual(2 * 1024);
    expect(cache).toBeLessThanOrEqual(1.5 * 1024);
    expect(both).toBeLessThanOrEqual(3.1 * 1024);
  });

  it("can be imported and used where there is no browser", async () => {
    const { durableOutbox, sessionCache } = await import("../src/index.ts");
    const { cached, Client } = await import("../../client/src/index.ts");
    const client = new Client({
      url: "wss://host/v1/ws",
      token: "tok",
      outbox: durableOutbox(),
      cache: cached(sessionCache()),
    });
    client.session("chat");
    expect(client.keeps).not.toBe("browser");
    client.close();
  });

  it.each(sources)("$name imports only its own and the client's types, has no any, and is short", ({ text }) => {
    for (const [line, from] of text.matchAll(/^.* from "([^"]+)"/gm)) {
      if (from?.startsWith("./")) continue;
      expect(line).toMatch(/^import type .* from "@holdfast\/client"/);
    }
    expect(text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "")).not.toMatch(/\bany\b/);
    expect(text.split("\n").length).toBeLessThan(500);
  });
});
