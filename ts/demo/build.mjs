// Builds the demo page into internal/demo/assets, where the Go program embeds it. With --check it only compares.
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const out = fileURLToPath(new URL("../../internal/demo/assets/", import.meta.url));

const packages = ["client", "client/fallback", "client/tabs", "outbox", "status"];

/** The package's source, or that of a part of it. */
function source(name) {
  const [folder, ...part] = name.split("/");
  return fileURLToPath(new URL(`../packages/${[folder, "src", ...part].join("/")}/index.ts`, import.meta.url));
}

const { outputFiles } = await build({
  absWorkingDir: here,
  entryPoints: { demo: "src/main.ts", style: "demo.css" },
  alias: Object.fromEntries(packages.map((name) => [`@holdfast/${name}`, source(name)])),
  outdir: "/",
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022", "chrome105", "firefox110", "safari16"],
  charset: "utf8",
  legalComments: "none",
  write: false,
});

const files = new Map(
  outputFiles.map(({ path, contents }) => [path.endsWith(".css") ? "demo.css" : "demo.js", Buffer.from(contents)]),
);
for (const name of ["index.html", "icon.svg"]) files.set(name, await readFile(here + name));

if (process.argv.includes("--check")) {
  const stale = [];
  for (const [name, wanted] of files) {
    const found = await readFile(out + name).catch(() => undefined);
    if (!found || !wanted.equals(found)) stale.push(name);
  }
  for (const name of await readdir(out).catch(() => [])) if (!files.has(name)) stale.push(name);
  if (stale.length) {
    console.error(`internal/demo/assets differs from its source: ${stale.join(", ")}; run npm run build and commit it`);
    process.exit(1);
  }
} else {
  await mkdir(out, { recursive: true });
  for (const name of await readdir(out)) if (!files.has(name)) await rm(out + name);
  for (const [name, contents] of files) await writeFile(out + name, contents);
  for (const [name, { length }] of files) console.log(`${name} ${length} bytes`);
}
