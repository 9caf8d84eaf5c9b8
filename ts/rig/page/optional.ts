import { cached, type ClientOptions } from "@holdfast/client";
import { fallback } from "@holdfast/client/fallback";
import { tabs } from "@holdfast/client/tabs";
import { durableOutbox, flushOnLeave, type FlushOptions, sessionCache } from "@holdfast/outbox";
import type { OursConfig } from "./report.ts";

/** The parts of the client that an application may add. */
export function optional(config: OursConfig, leaving: FlushOptions): Partial<ClientOptions> {
  return {
    ...(config.tabs && { link: tabs() }),
    ...(config.fallback && { carrier: fallback() }),
    ...(config.durable && { outbox: flushOnLeave(durableOutbox(), leaving) }),
    ...(config.cache && { cache: cached(sessionCache()) }),
  };
}
