import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";

const root = new URL("..", import.meta.url).pathname;

async function bundle(source: string): Promise<Buffer> {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: `${root}src`, loader: "ts" },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
  });
  return Buffer.from(outputFiles[0]?.contents ?? "nothing was built");
}

const sources = readdirSync(`${root}src`, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => ({ name, text: readFileSync(`${root}src/${name}`, "utf8") }));

/** A source without its comments and strings. */
const code = (text: string) => text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "").replace(/"[^"\n]*"|`[^`]*`/g, '""');

describe("the package", () => {
  it("is at most 10.8 KB, minified and compressed, as an application uses it", async () => {
    const all = await bundle('export { Client, HoldfastError } from "./index.ts";');
    expect(all.length).toBeGreaterThan(10_000);
    expect(gzipSync(all, { level: 9 }).length).toBeLessThanOrEqual(10.8 * 1024);
  });

  it("leaves nothing behind where only its errors are used", async () => {
    const little = await bundle('import { HoldfastError } from "./index.ts"; throw new HoldfastError("closed", "x");');
    expect(little.length).toBeLessThan(400);
  });

  it("can be imported and used where there is no browser", async () => {
    const { Client } = await import("../src/index.ts");
    const client = new Client({ url: "wss://host/v1/ws", token: "tok" });
    const chat = client.session("chat");
    expect(chat.snapshot).toMatchObject({ entries: [], status: "pending" });
    expect(client.status.state).toBe("idle");
    client.close();
  });

  it("has no dependency", () => {
    const manifest = JSON.parse(readFileSync(`${root}package.json`, "utf8")) as Record<string, unknown>;
    expect(manifest["dependencies"]).toBeUndefined();
    expect(manifest["sideEffects"]).toBe(false);
  });

  it.each(sources)("$name imports only its own, has no any, and is short", ({ text }) => {
    for (const [, from] of text.matchAll(/from "([^"]+)"/g)) expect(from).toMatch(/^\.\.?\//);
    expect(code(text)).not.toMatch(/\bany\b/);
    expect(text.split("\n").length).toBeLessThan(500);
  });

  it.each(sources.filter(({ name }) => !name.startsWith("env")))(
    "$name touches no global of the browser",
    ({ text }) => {
      const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "").replace(/"[^"]*"/g, '""');
      expect(code).not.toMatch(
        /\b(window|document|navigator|sessionStorage|localStorage|setTimeout|setInterval|Date\.now|Math\.random|WebSocket)\b/,
      );
    },
  );
});
