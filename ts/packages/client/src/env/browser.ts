import { attempt } from "../attempt.ts";
import type { Cancel, Claim, Env, FetchAnswer, FetchRequest, KeyValue, PageSignal, PipeEvents } from "./env.ts";

/** How long a page that is being reloaded may hold on to its name before the name counts as another tab's. */
const CLAIM_PATIENCE = 400;

/** The real world. It touches no global before it is used, so that a server may import and construct it. */
export function browserEnv(): Env {
  return {
    now: () => Date.now(),
    random: () => Math.random(),
    timer(run, ms) {
      const id = setTimeout(run, ms);
      return () => clearTimeout(id);
    },
    soon: (run) => queueMicrotask(run),
    open: openSocket,
    fetch: ask,
    signals,
    visible: () => globalThis.document?.visibilityState !== "hidden",
    get mobile() {
      return /Android|Mobile/.test(globalThis.navigator?.userAgent);
    },
    storage: tabStorage(),
    claim,
  };
}

/**
 * The largest hello that goes with the dial, in UTF-16 units: it stands in a header, and proxies take headers of 8 KB at
 * the least.
 */
const SMALL = 3_000;

/** The one header that a page may fill, with ASCII. The token in it is no more in sight there than in an Authorization header. */
function protocols(hello = ""): string[] {
  if (!hello || hello.length > SMALL || /[^ -~]/.test(hello)) return ["holdfast.v1"];
  const text = btoa(hello).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return ["holdfast.v1", `hello.${text}`];
}

function openSocket(url: string, events: PipeEvents, hello?: string) {
  const offered = protocols(hello);
  const socket = new WebSocket(url, offered);
  socket.onopen = () => events.opened();
  socket.onmessage = ({ data }: MessageEvent<unknown>) => typeof data === "string" && events.message(data);
  socket.onclose = ({ code, reason }) => events.closed(code, reason);
  return {
    greeted: offered.length > 1,
    send: (text: string) => socket.send(text),
    drop() {
      // First the handlers: a dead socket's close event comes after up to a minute, when another one lives.
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close(1000);
    },
  };
}

async function ask(url: string, { timeout, ...request }: FetchRequest): Promise<FetchAnswer> {
  // A text is sent as text/plain.
  const signal = AbortSignal.timeout(timeout);
  const answer = await fetch(url, { ...request, cache: "no-store", credentials: "omit", signal });
  const after = Number(answer.headers.get("retry-after")) * 1_000 || undefined;
  return { status: answer.status, text: await answer.text(), after };
}

/**
 * No single event tells that a page is back: iOS fires only pageshow out of its back/forward cache, installed pages may
 * not fire visibilitychange, and a switch of networks shows in online alone.
 */
function signals(on: (signal: PageSignal) => void): Cancel {
  if (!globalThis.document) return () => {};
  const stop = new AbortController();
  // The controller stands for the options that have its signal.
  const listen = (to: EventTarget, name: string, signal: (event: PageTransitionEvent) => PageSignal) =>
    to.addEventListener(name, (event) => on(signal(event as PageTransitionEvent)), stop);
  listen(document, "visibilitychange", () => document.visibilityState);
  listen(document, "resume", () => "resumed");
  listen(window, "pagehide", (event) => (event.persisted ? "stored" : "leaving"));
  listen(window, "pageshow", (event) => (event.persisted ? "restored" : "shown"));
  for (const name of ["focus", "online", "offline"] as const) listen(window, name, () => name);
  const { connection } = navigator as { connection?: EventTarget & { readonly type?: string } };
  // It fires for every new estimate of the speed too, and those tell nothing.
  let type = connection?.type;
  connection?.addEventListener(
    "change",
    () => {
      const before = type;
      type = connection.type;
      if (type !== before) on("network");
    },
    stop,
  );
  return () => stop.abort();
}

function tabStorage(): KeyValue {
  /** What the browser does not keep. Even to look at sessionStorage may throw, where cookies are blocked. */
  const memory = new Map<string, string | null>();
  return {
    get lasts() {
      return !memory.size && attempt(() => sessionStorage) ? "tab" : "page";
    },
    get: (key) => memory.get(key) ?? attempt(() => sessionStorage.getItem(key)) ?? null,
    set(key, value) {
      memory.set(key, value);
      attempt(() => {
        if (value === null) sessionStorage.removeItem(key);
        else sessionStorage.setItem(key, value);
        memory.delete(key);
      });
    },
  };
}

/** Holds a lock of this name for as long as the page lives. A reload's old page frees it within milliseconds. */
function claim(name: string): Promise<Claim> {
  const signal = AbortSignal.timeout(CLAIM_PATIENCE);
  const held = new Promise<Claim>((resolve, reject) => {
    const hold = () => new Promise<never>(() => resolve("held"));
    navigator.locks.request(name, { signal }, hold).catch(reject);
  });
  // Where there are no locks, the asking itself throws.
  return held.catch(() => (signal.aborted ? "taken" : "unknown"));
}
