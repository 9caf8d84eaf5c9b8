import type { Carrier } from "../env/env.ts";
import { browserStream, type Stream } from "../env/stream.ts";
import { Front } from "./front.ts";
import { Switch } from "./switch.ts";

export type { Stream, StreamEvents } from "../env/stream.ts";

export interface FallbackOptions {
  /** How an answer is read while it grows. Default: fetch. */
  readonly stream?: Stream;
}

/**
 * WebSocket where it works; where it does not, while the server answers over HTTP, the same frames over HTTP: as one
 * growing answer, or, where a proxy holds that back, by long polling. It takes at most three seconds to find out, is
 * remembered for ten minutes, and WebSocket is looked for all the while.
 */
export function fallback({ stream = browserStream }: FallbackOptions = {}): Carrier {
  return (env) => {
    const sw = new Switch(env, stream);
    return (url, events) => new Front(sw, url, events);
  };
}
