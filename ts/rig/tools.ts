import { once } from "node:events";
import { existsSync } from "node:fs";
import net from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the repository, wherever this file was bundled to. */
export const root = findRoot();

function findRoot(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); folder !== "/"; folder = dirname(folder)) {
    if (existsSync(join(folder, "go.mod")) && existsSync(join(folder, "ts", "rig"))) return folder;
  }
  throw new Error("run this from a checkout");
}

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Asks again and again until the answer is yes; fails after `cap` ms. */
export async function until(cap: number, ask: () => Promise<boolean> | boolean, what = "it"): Promise<void> {
  const end = performance.now() + cap;
  while (!(await ask())) {
    if (performance.now() > end) throw new Error(`waited ${cap} ms for ${what}`);
    await sleep(20);
  }
}

export async function freePort(): Promise<number> {
  const server = net.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
