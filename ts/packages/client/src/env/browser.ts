import { HoldfastError } from "../errors.ts";
import type { Cancel, Claim, Env, FetchAnswer, FetchRequest, KeyValue, PageSignal, PipeEvents } from "./env.ts";
import { memoryStorage } from "./memory-storage.ts";

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
    visible: () => typeof document === "undefined" || document.visibilityState === "visible",
    get mobile() {
      return /Android|iPhone|iPad|Mobile/.test(globalThis.navigator?.userAgent ?? "");
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

/** The one header that a page may fill. The token in it is no more in sight there than in an Authorization header. */
function protocols(hello = ""): string[] {
  if (!hello || hello.length > SMALL) return ["holdfast.v1"];
  const bytes = String.fromCharCode(...new TextEncoder().encode(hello));
  const url = { "+": "-", "/": "_", "=": "" };
  return ["holdfast.v1", `hello.${btoa(bytes).replace(/[+/=]/g, (c) => url[c as "+"])}`];
}

function openSocket(url: string, events: PipeEvents, hello?: string) {
  if (typeof WebSocket === "undefined") {
    throw new HoldfastError("unsupported", "there is no WebSocket here; pass an env that has one");
  }
  const offered = protocols(hello);
  const socket = new WebSocket(url, offered);
  socket.onopen = () => events.opened();
  socket.onmessage = ({ data }: MessageEvent<unknown>) => {
    if (typeof data === "string") events.message(data);
  };
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

async function ask(url: string, { method, body, timeout, keepalive }: FetchRequest): Promise<FetchAnswer> {
  const answer = await fetch(url, {
    method,
    cache: "no-store",
    credentials: "omit",
    signal: AbortSignal.timeout(timeout),
    ...(body !== undefined && { body, headers: { "content-type": "text/plain" } }),
    ...(keepalive && { keepalive }),
  });
  const text = await answer.text();
  const after = Number(answer.headers.get("retry-after") ?? Number.NaN) * 1_000;
  return { status: answer.status, text, ...(after >= 0 && { after }) };
}

/**
 * No single event tells that a page is back: iOS fires only pageshow out of its back/forward cache, installed pages may
 * not fire visibilitychange, and a switch of networks shows in online alone.
 */
function signals(on: (signal: PageSignal) => void): Cancel {
  if (typeof window === "undefined") return () => {};
  const stop = new AbortController();
  const listen = (to: EventTarget | undefined, name: string, signal: (event: Event) => PageSignal) =>
    to?.addEventListener(name, (event) => on(signal(event)), { signal: stop.signal });
  const persisted = (event: Event) => (event as PageTransitionEvent).persisted;
  listen(document, "visibilitychange", () => document.visibilityState as PageSignal);
  listen(document, "freeze", () => "frozen");
  listen(document, "resume", () => "resumed");
  listen(window, "pagehide", (event) => (persisted(event) ? "stored" : "leaving"));
  listen(window, "pageshow", (event) => (persisted(event) ? "restored" : "shown"));
  for (const name of ["focus", "online", "offline"] as const) listen(window, name, () => name);
  const { connection } = navigator as { connection?: EventTarget & { readonly type?: string } };
  // It fires for every new estimate of the speed too, and those tell nothing.
  let type = connection?.type;
  const changed = () => {
    if (type === connection?.type) return;
    type = connection?.type;
    on("network");
  };
  connection?.addEventListener("change", changed, { signal: stop.signal });
  return () => stop.abort();
}

function tabStorage(): KeyValue {
  const memory = memoryStorage();
  // Even to look at sessionStorage may throw, where cookies are blocked; to write throws where it is full.
  return {
    get lasts() {
      try {
        return sessionStorage ? "tab" : "page";
      } catch {
        return "page";
      }
    },
    get(key) {
      try {
        return memory.get(key) ?? sessionStorage.getItem(key);
      } catch {
        return null;
      }
    },
    set(key, value) {
      memory.set(key, null);
      try {
        if (value === null) sessionStorage.removeItem(key);
        else sessionStorage.setItem(key, value);
      } catch {
        memory.set(key, value);
      }
    },
  };
}

/** Holds a lock of this name for as long as the page lives. A reload's old page frees it within milliseconds. */
function claim(name: string): Promise<Claim> {
  const locks = globalThis.navigator?.locks;
  if (!locks) return Promise.resolve("unknown");
  return new Promise((resolve) => {
    const giveUp = new AbortController();
    const timer = setTimeout(() => giveUp.abort(), CLAIM_PATIENCE);
    locks
      .request(name, { signal: giveUp.signal }, () => {
        clearTimeout(timer);
        resolve("held");
        return new Promise<never>(() => {});
      })
      .catch(() => resolve(giveUp.signal.aborted ? "taken" : "unknown"));
  });
}
