/** All that this library touches outside of itself. A test replaces it whole. */
export interface Env {
  /** The wall clock, in Unix milliseconds. */
  now(): number;
  /** A random number, from 0 to 1. */
  random(): number;
  /** Runs `run` once after `ms`, unless cancelled. */
  timer(run: () => void, ms: number): Cancel;
  /** Runs `run` when what is running now has ended. */
  soon(run: () => void): void;
  /**
   * Opens a connection. Exactly one of the events' `closed` ends it, unless it was dropped before. Where the pipe says that
   * it has `greeted`, hello is on its way with the dial itself, which saves a round trip.
   */
  open(url: string, events: PipeEvents, hello?: string): Pipe;
  /**
   * Asks over HTTP, without credentials and past every cache. Rejects where there is no answer in time or no network; every
   * status is an answer.
   */
  fetch(url: string, request: FetchRequest): Promise<FetchAnswer>;
  /** Calls `on` with what happens to the page, until cancelled. */
  signals(on: (signal: PageSignal) => void): Cancel;
  /** Whether somebody may be looking. */
  visible(): boolean;
  /** Whether this is a phone or a tablet: they freeze hidden pages early, and a connection kept for one costs battery. */
  readonly mobile: boolean;
  /** Keeps a few strings over reloads of this tab; null removes one. */
  readonly storage: KeyValue;
  /**
   * Claims a name among all tabs of this browser: "taken" means that another one holds it, "unknown" that this browser
   * cannot tell.
   */
  claim(name: string): Promise<Claim>;
}

/**
 * What a browser says about a page:
 * - visible, hidden: it came to the front, or left it.
 * - resumed: its code was stopped, and runs again.
 * - stored, restored: it goes into the back/forward cache, or came out of it.
 * - leaving, shown: it is being unloaded, or was loaded.
 * - focus, online, offline: as their events.
 * - network: the kind of network has changed, as from Wi-Fi to mobile data.
 */
export type PageSignal =
  | "visible"
  | "hidden"
  | "resumed"
  | "stored"
  | "restored"
  | "leaving"
  | "shown"
  | "focus"
  | "online"
  | "offline"
  | "network";

export interface FetchRequest {
  readonly method: "GET" | "POST";
  /** Sent as text/plain, so that a browser asks no permission first. */
  readonly body?: string;
  /** How long to wait for the whole answer, in ms. */
  readonly timeout: number;
  /** Goes on when the page is gone. */
  readonly keepalive?: boolean;
}

export interface FetchAnswer {
  readonly status: number;
  /** When to ask again (Retry-After), in ms, if the server said so. */
  readonly after?: number | undefined;
  readonly text: string;
}

export type Cancel = () => void;

export type Claim = "held" | "taken" | "unknown";

export interface KeyValue {
  get(key: string): string | null;
  set(key: string, value: string | null): void;
  /** How long what is kept lasts: as long as the page, or as the tab. Default: tab. */
  readonly lasts?: "page" | "tab";
}

/** One connection of any carriage that keeps messages whole and in order. */
export interface Pipe {
  send(text: string): void;
  /** Ends it at once: no event comes any more, whether or not the other side ever hears of it. */
  drop(): void;
  /** A hello on it always attaches: it cannot stand by. */
  readonly single?: boolean;
  /** The hello that open was given is sent, or will be; it is not to be sent once more. */
  readonly greeted?: boolean;
}

export interface PipeEvents {
  opened(): void;
  message(text: string): void;
  closed(code: number, reason: string): void;
}

/** A way of carrying the frames: given the world, how pipes are opened. Without one it is WebSocket alone. */
export type Carrier = (env: Env) => Env["open"];
