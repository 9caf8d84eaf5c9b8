import { HoldfastError } from "./errors.ts";
import type { LinkParts } from "./link.ts";
import { AGENT, httpUrl } from "./urls.ts";

/** The server takes 64 KiB; what stands around the log is less than the rest. */
const MAX_LOG = 60_000;
const TIMEOUT = 10_000;

/** Sends the latest part of the log that the server takes. */
export async function sendReport({ env, url, token, identity, log }: LinkParts, reason: string): Promise<void> {
  let records = log.records;
  while (JSON.stringify(records).length > MAX_LOG) records = records.slice(records.length >> 3 || 1);
  const report = { token: token.value, client: identity.id, reason, agent: AGENT, now: env.now() };
  const body = JSON.stringify({ ...report, log: records });
  const { status } = await env.fetch(httpUrl(url, "report"), { method: "POST", body, timeout: TIMEOUT });
  if (status >= 300) throw new HoldfastError("unavailable", `the server answered ${status}`);
}
