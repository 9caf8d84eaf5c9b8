// Starts all that the example is made of, and prints where the page is:
//
//   holdfast serve      the sessions
//   examples/model      a language model without a network, unless OPENAI_BASE_URL names another one
//   backend.ts          signs in, and answers
//   page.tsx            useChat in the browser, as files that the backend serves
//
// PORT and SESSIONS_PORT choose other ports than 3000 and 8090, WORD how long the model takes for a word, DATA where things
// are kept, DIE=1 ends everything when the input of this program ends.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../../", import.meta.url));
const { build } = createRequire(`${root}ts/package.json`)("esbuild");

const { PORT = "3000", SESSIONS_PORT = "8090", WORD = "40ms", DATA = `${root}ts/tmp/example` } = process.env;
const page = `http://127.0.0.1:${PORT}`;
const holdfast = `http://127.0.0.1:${SESSIONS_PORT}`;
const children = [];

/** Builds a program of this repository. */
function program(name, path) {
  const out = `${DATA}/${name}`;
  execFileSync("go", ["build", "-o", out, path], { cwd: root, stdio: "inherit" });
  return out;
}

/** Starts a program that ends with this one, and returns the first line that it prints. */
function start(command, args) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  child.once("exit", (code) => leave(code ?? 1));
  return new Promise((resolve) => child.stdout.once("data", (text) => resolve(String(text).trim())));
}

/** Bundles a file with everything that it needs. */
async function bundle(entry, platform) {
  const packages = `${root}ts/packages`;
  const { outputFiles } = await build({
    absWorkingDir: here,
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: "esm",
    platform,
    target: "es2022",
    jsx: "automatic",
    nodePaths: [`${root}ts/node_modules`],
    define: { "process.env.NODE_ENV": '"development"' },
    // What is in there for Node asks for its modules by require.
    banner:
      platform === "node" ? { js: 'import{createRequire}from"node:module";const require=createRequire("/");' } : {},
    alias: {
      "@holdfast/client": `${packages}/client/src/index.ts`,
      "@holdfast/producer": `${packages}/producer/src/index.ts`,
      "@holdfast/ai-sdk/react": `${packages}/ai-sdk/src/react.ts`,
      "@holdfast/ai-sdk": `${packages}/ai-sdk/src/index.ts`,
    },
  });
  return outputFiles[0].text;
}

function leave(code) {
  for (const child of children) child.kill();
  process.exit(code);
}

async function ready(url) {
  for (;;) {
    if (
      await fetch(`${url}/readyz`).then(
        (r) => r.ok,
        () => false,
      )
    )
      return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

mkdirSync(DATA, { recursive: true, mode: 0o700 });
const server = program("holdfast", "./cmd/holdfast");
const secretFile = `${DATA}/jwt.secret`;
if (!existsSync(secretFile)) execFileSync(server, ["token", "--new-secret", secretFile]);
const serve = ["serve", "--addr", new URL(holdfast).host, "--data", `${DATA}/store`, "--jwt-secret-file", secretFile];
void start(server, [...serve, "--origins", page, "--log-level", "warn"]);

const { OPENAI_BASE_URL, OPENAI_API_KEY, OPENAI_MODEL = "fake-1" } = process.env;
const baseURL = OPENAI_BASE_URL ?? (await start(program("model", "./examples/model"), ["--word", WORD]));

const script = await bundle("page.tsx", "browser");
const html = readFileSync(`${here}index.html`, "utf8").replace("{{holdfast}}", holdfast);
const code = await bundle("backend.ts", "node");
const { Backend } = await import(`data:text/javascript;base64,${Buffer.from(code).toString("base64")}`);
await ready(holdfast);
const backend = new Backend({
  port: Number(PORT),
  holdfast,
  secret: readFileSync(secretFile, "utf8").trim(),
  model: { baseURL, name: OPENAI_MODEL, ...(OPENAI_API_KEY && { apiKey: OPENAI_API_KEY }) },
  files: {
    "/index.html": { type: "text/html; charset=utf-8", body: html },
    "/page.js": { type: "text/javascript; charset=utf-8", body: script },
  },
});
console.log(`\n  ${await backend.start()}\n\n  Open it in two browsers. Stop with Ctrl-C.\n`);

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => leave(0));
if (process.env.DIE) process.stdin.on("end", () => leave(0)).resume();
