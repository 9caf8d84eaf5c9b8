import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./tools.ts";

const packages = join(root, "ts", "packages");

/** Where the sources of a module of ours are; undefined if this checkout does not have them. */
function source(file: string, exported: string): string | undefined {
  const path = join(packages, file);
  return existsSync(path) && readFileSync(path, "utf8").includes(exported) ? path : undefined;
}

const OPTIONAL = {
  tabs: ["@holdfast/client/tabs", source("client/src/tabs/index.ts", "tabs")],
  fallback: ["@holdfast/client/fallback", source("client/src/fallback/index.ts", "fallback")],
  durable: ["@holdfast/outbox", source("outbox/src/index.ts", "durableOutbox")],
} as const;

export type Part = keyof typeof OPTIONAL;

/** Whether this checkout has a part of the client. */
export const has = (part: Part): boolean => OPTIONAL[part][1] !== undefined;

/** For the bundler: the sources of our packages, and not what was built of them before. */
export function aliases(): Record<string, string> {
  const pending = join(root, "ts", "rig", "page", "pending.ts");
  const optional = Object.values(OPTIONAL).map(([name, path]) => [name, path ?? pending] as const);
  return { ...Object.fromEntries(optional), "@holdfast/client": join(packages, "client", "src", "index.ts") };
}
