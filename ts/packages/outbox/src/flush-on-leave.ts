import type { Env, Kept, OutboxStore } from "@holdfast/client";

export interface FlushOptions {
  /** The client's own. */
  readonly url: string;
  /** The latest token that the application was given, at once; nothing is sent without one. */
  readonly token: () => string | undefined;
}

/** A browser lets 64 KiB go on when the page is gone, with what stands around it; the server takes 64 frames. */
const MAX_BYTES = 60_000;
const MAX_FRAMES = 64;
const TIMEOUT = 15_000;

/**
 * Sends what is unsent when the page is left, in one request that goes on without the page (`keepalive`). The first
 * messages that fit: of one in the middle that were left out, those behind it would be written first. They stay in the
 * store as well, and the next page sends them all again; the server writes an id once.
 */
export function flushOnLeave(outbox: (env: Env) => OutboxStore, options: FlushOptions): (env: Env) => OutboxStore {
  return (env) => {
    const store = outbox(env);
    const unsent = new Map<string, Kept>();
    let stop = () => {};
    let adopted = false;
    const keep = (kept: Kept) => {
      if (kept.e) unsent.delete(kept.id);
      else unsent.set(kept.id, kept);
    };
    return {
      get lasts() {
        return store.lasts;
      },
      load(adopt) {
        stop = env.signals((signal) => {
          // A phone may end a hidden page without a word.
          const left = signal === "leaving" || signal === "stored" || (signal === "hidden" && env.mobile);
          // Before it is known what an earlier page has left, this one's own would go before that.
          if (left && adopted && unsent.size) flush(env, [...unsent.values()], options);
        });
        store.load((kept) => {
          // What was left goes before what this page has sent already.
          const early = [...unsent.values()];
          if (!adopted) unsent.clear();
          adopted = true;
          for (const each of [...kept, ...early]) keep(each);
          adopt(kept);
        });
      },
      put(kept) {
        keep(kept);
        store.put(kept);
      },
      remove(id) {
        unsent.delete(id);
        store.remove(id);
      },
      close() {
        stop();
        store.close?.();
      },
    };
  };
}

function flush(env: Env, unsent: readonly Kept[], { url, token }: FlushOptions): void {
  const bearer = token();
  const id = unsent[0]?.id ?? "";
  if (!bearer) return;
  // An id begins with the client that gave it.
  const client = id.slice(0, id.lastIndexOf(":"));
  let body = JSON.stringify({ t: "hello", v: 1, token: bearer, client, gen: 0, mode: "aside", subs: [] });
  const bytes = (text: string) => new TextEncoder().encode(text).length;
  let left = MAX_BYTES - bytes(body);
  let frames = 0;
  for (const { s, id, d } of unsent.slice(0, MAX_FRAMES)) {
    const line = `\n${JSON.stringify({ t: "send", s, id, data: d })}`;
    left -= bytes(line);
    if (left < 0) break;
    body += line;
    frames++;
  }
  const address = new URL(url);
  address.protocol = address.protocol.replace("ws", "http");
  address.pathname = address.pathname.replace(/\/*$/, "/send");
  const request = { method: "POST", body, timeout: TIMEOUT, keepalive: true } as const;
  if (frames) env.fetch(address.href, request).catch(() => {});
}
