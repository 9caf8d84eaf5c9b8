import type { Cancel } from "./env.ts";

/** What becomes of a request whose answer is read while it grows. After `ended` and after the cancel nothing comes. */
export interface StreamEvents {
  /** The answer has begun; `after` is its Retry-After, in ms. */
  answered(status: number, after?: number): void;
  text(chunk: string): void;
  /** It is over: whole, or, with a reason, broken off. */
  ended(broken?: string): void;
}

/** Posts a body as text/plain, without credentials and past every cache, and reads what comes as it comes. */
export type Stream = (url: string, body: string, on: StreamEvents) => Cancel;

/** The browser's. To cancel it ends the request, and so the connection that the server holds for it. */
export const browserStream: Stream = (url, body, on) => {
  const stop = new AbortController();
  const { signal } = stop;
  read(url, body, on, signal).then(
    () => signal.aborted || on.ended(),
    (error: unknown) => signal.aborted || on.ended(error instanceof Error ? error.message : String(error)),
  );
  return () => stop.abort();
};

async function read(url: string, body: string, on: StreamEvents, signal: AbortSignal): Promise<void> {
  const headers = { "content-type": "text/plain" };
  const answer = await fetch(url, { method: "POST", body, headers, cache: "no-store", credentials: "omit", signal });
  const after = Number(answer.headers.get("retry-after") ?? Number.NaN) * 1_000;
  on.answered(answer.status, ...(after >= 0 ? [after] : []));
  const reader = answer.body?.getReader();
  const decoder = new TextDecoder();
  while (reader && !signal.aborted) {
    const { value, done } = await reader.read();
    if (done) return;
    if (!signal.aborted) on.text(decoder.decode(value, { stream: true }));
  }
}
