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
  /** Opens a connection. Exactly one of the events' `closed` ends it, unless it was dropped before. */
  open(url: string, events: PipeEvents): Pipe;
  /**
   * Calls `on` with "wake" when the page comes back in any way, and with "suspect" when the network is said to be gone.
   */
  signals(on: (signal: "wake" | "suspect") => void): Cancel;
  /** Whether somebody may be looking. */
  visible(): boolean;
  /** Keeps a few strings over reloads of this tab; null removes one. */
  readonly storage: KeyValue;
  /**
   * Claims a name among all tabs of this browser: "taken" means that another one holds it, "unknown" that this browser
   * cannot tell.
   */
  claim(name: string): Promise<Claim>;
}

export type Cancel = () => void;

export type Claim = "held" | "taken" | "unknown";

export interface KeyValue {
  get(key: string): string | null;
  set(key: string, value: string | null): void;
}

/** One connection of any carriage that keeps messages whole and in order. */
export interface Pipe {
  send(text: string): void;
  /** Ends it at once: no event comes any more, whether or not the other side ever hears of it. */
  drop(): void;
}

export interface PipeEvents {
  opened(): void;
  message(text: string): void;
  closed(code: number, reason: string): void;
}
