// Bundles one of the rig's programs and runs it: node run.mjs main --cases 1,3
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const [name, ...args] = process.argv.slice(2);
const outfile = `${here}../tmp/rig-${name}-${process.pid}.mjs`;
await build({
  entryPoints: [`${here}${name}.ts`],
  outfile,
  bundle: true,
  packages: "external",
  platform: "node",
  format: "esm",
  target: "node20",
  sourcemap: "inline",
  logLevel: "error",
});
const { rm } = await import("node:fs/promises");
const child = spawn(process.execPath, ["--enable-source-maps", outfile, ...args], { stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
child.on("exit", async (code) => {
  await rm(outfile, { force: true });
  process.exitCode = code ?? 1;
});
