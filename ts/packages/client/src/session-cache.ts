import type { Entry } from "./entry.ts";

/** The recent part of a session as a page may keep it to show it at once after a reload. Plain JSON. */
export interface Cached {
  /** When it was kept, by this machine's clock. */
  readonly at: number;
  /** The position, as in a cursor: the log's epoch, the last offset, its tag. */
  readonly epoch: string;
  readonly have: number;
  readonly tag: number;
  /** From `first` on nothing is missing; whether there is more before it. */
  readonly first: number;
  readonly more: boolean;
  /** The latest entries, all open runs and the latest state of each key. */
  readonly entries: readonly Entry[];
}

/** Where the recent parts of sessions are kept. */
export interface SessionCache {
  /** Resolves with what was kept of the session, if anything. */
  load(session: string): Promise<Cached | undefined>;
  save(session: string, cached: Cached): void;
}
