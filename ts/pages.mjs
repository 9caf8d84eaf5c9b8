// Builds a page into a folder that the Go program embeds. With --check it only compares.
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The source of a package, or that of a part of it. */
function source(name) {
  const [folder, ...part] = name.split("/");
  return `${root}ts/packages/${[folder, "src", ...part].join("/")}/index.ts`;
}

/**
 * page is the folder in ts/, whose name its script and style get; main its entry; out the folder it goes to; packages are
 * those of ts/packages that it uses; files are taken as they are.
 */
async function made({ page, main, packages = [], files }) {
  const here = `${root}ts/${page}/`;
  const { outputFiles } = await build({
    absWorkingDir: here,
    entryPoints: { [page]: main, style: `${page}.css` },
    alias: Object.fromEntries(packages.map((name) => [`@holdfast/${name}`, source(name)])),
    outdir: "/",
    bundle: true,
    minify: true,
    format: "esm",
    jsx: "automatic",
    jsxImportSource: "preact",
    target: ["es2022", "chrome105", "firefox110", "safari16"],
    charset: "utf8",
    legalComments: "none",
    write: false,
  });
  const all = new Map(
    outputFiles.map(({ path, contents }) => [
      `${page}${path.endsWith(".css") ? ".css" : ".js"}`,
      Buffer.from(contents),
    ]),
  );
  for (const name of files) all.set(name, await readFile(here + name));
  return all;
}

async function check(all, out) {
  const stale = [];
  for (const [name, wanted] of all) {
    const found = await readFile(root + out + name).catch(() => undefined);
    if (!found || !wanted.equals(found)) stale.push(name);
  }
  for (const name of await readdir(root + out).catch(() => [])) if (!all.has(name)) stale.push(name);
  if (!stale.length) return;
  console.error(`${out} differs from its source: ${stale.join(", ")}; run npm run build and commit it`);
  process.exit(1);
}

async function write(all, out) {
  await mkdir(root + out, { recursive: true });
  for (const name of await readdir(root + out)) if (!all.has(name)) await rm(root + out + name);
  for (const [name, contents] of all) {
    await writeFile(root + out + name, contents);
    console.log(`${out}${name} ${contents.length} bytes`);
  }
}

export async function embed(options) {
  const all = await made(options);
  await (process.argv.includes("--check") ? check : write)(all, options.out);
}
