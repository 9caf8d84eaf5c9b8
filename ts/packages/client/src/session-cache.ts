import { type Entry, isOpenRequest } from "./entry.ts";
import type { Cancel, Env } from "./env/env.ts";
import type { Session } from "./session.ts";
import type { SessionState } from "./session-state.ts";

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
  /** The latest entries, all open runs and requests, and the latest state of each key. */
  readonly entries: readonly Entry[];
  /** The offsets of those that a reader needs however long ago they were: whoever keeps fewer entries keeps these. */
  readonly open: readonly number[];
}

/** Where the recent parts of sessions are kept. */
export interface SessionCache {
  /** Resolves with what was kept of the session, if anything. */
  load(session: string): Promise<Cached | undefined>;
  save(session: string, cached: Cached): void;
}

/** What is kept for the next page: so many entries, so many ms after a change. */
const CACHED = 200;
const PAUSE = 2_000;

/** Shows what a cache holds of each session at once, and keeps what is read there: the option `cache` of a client. */
export const cached = (cache: SessionCache) => (env: Env, session: Session) => {
  let saving: Cancel | undefined;
  const save = () => {
    saving?.();
    saving = undefined;
    const kept = cachedOf(session.held, env.now(), CACHED);
    if (kept) cache.save(session.id, kept);
  };
  cache.load(session.id).then(
    (kept) => kept && session.adopt(withCached(session.held, kept)),
    () => {},
  );
  session.subscribe(() => {
    saving ??= env.timer(save, PAUSE);
  });
  // A page that is hidden may never run again.
  const stopSignals = env.signals((signal) => /hidd|stor|leav/.test(signal) && save());
  session.ending.add(() => {
    stopSignals();
    if (saving) save();
  });
};

/** What a page may keep of the session, if it has a place to go on from: the last `most` entries, and what is open. */
export function cachedOf(state: SessionState, at: number, most: number): Cached | undefined {
  const { epoch, have, tag, entries } = state;
  if (tag === undefined || !epoch) return undefined;
  const last = entries.slice(-most);
  const first = Math.max(state.first, entries.length > most ? (last[0]?.offset ?? 0) : 0);
  const isOpen = (e: Entry) =>
    e.kind === "state" || (e.kind === "run" ? e.status === "open" : isOpenRequest(e, entries));
  const open = entries.flatMap((e) => (isOpen(e) ? [e.offset] : []));
  const kept = entries.filter((e, i) => i >= entries.length - most || open.includes(e.offset));
  return { at, epoch, have, tag, first, more: state.more || first > state.first, open, entries: kept };
}

/** The state with what was kept, for as long as the server has not answered. */
function withCached(state: SessionState, { epoch, have, tag, first, more, entries }: Cached): SessionState {
  if (state.outcome) return state;
  const states = new Map(entries.flatMap((e) => (e.kind === "state" ? [[e.key, e] as const] : [])));
  // Asked already, it was asked without a cursor: this is to be shown, and not to be gone on from.
  return { ...state, epoch, have, tag: state.asked ? undefined : tag, first, more, entries, states };
}
