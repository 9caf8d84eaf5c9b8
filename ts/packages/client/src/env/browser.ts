import { HoldfastError } from "../errors.ts";
import type { Cancel, Claim, Env, KeyValue, PipeEvents } from "./env.ts";
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
    signals,
    visible: () => typeof document === "undefined" || document.visibilityState === "visible",
    storage: tabStorage(),
    claim,
  };
}

function openSocket(url: string, events: PipeEvents) {
  if (typeof WebSocket === "undefined") {
    throw new HoldfastError("unsupported", "there is no WebSocket here; pass an env that has one");
  }
  const socket = new WebSocket(url, "holdfast.v1");
  socket.onopen = () => events.opened();
  socket.onmessage = ({ data }: MessageEvent<unknown>) => {
    if (typeof data === "string") events.message(data);
  };
  socket.onclose = ({ code, reason }) => events.closed(code, reason);
  return {
    send: (text: string) => socket.send(text),
    drop() {
      // First the handlers: a dead socket's close event comes after up to a minute, when another one lives.
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close(1000);
    },
  };
}

/**
 * No single event tells that a page is back: iOS fires only pageshow out of its back/forward cache, installed pages may
 * not fire visibilitychange, and a switch of networks shows in online alone.
 */
function signals(on: (signal: "wake" | "suspect") => void): Cancel {
  if (typeof window === "undefined") return () => {};
  const wake = () => on("wake");
  const suspect = () => on("suspect");
  const shown = () => {
    if (document.visibilityState === "visible") wake();
  };
  const stop = new AbortController();
  const { signal } = stop;
  document.addEventListener("visibilitychange", shown, { signal });
  document.addEventListener("resume", wake, { signal });
  for (const name of ["pageshow", "focus", "online"]) window.addEventListener(name, wake, { signal });
  window.addEventListener("offline", suspect, { signal });
  return () => stop.abort();
}

function tabStorage(): KeyValue {
  const memory = memoryStorage();
  // Even to look at sessionStorage may throw, where cookies are blocked; to write throws where it is full.
  return {
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
