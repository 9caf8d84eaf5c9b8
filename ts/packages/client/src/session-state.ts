/**
 * What a reader holds of one session, as a pure function of the frames that came: no clock, no socket.
 *
 *     asked ──> pending ──sub──> catching-up ──live──> live
 *                  ^                  │ hole             │ hole: ask again with the cursor
 *                  └──────────────────┴──────────────────┘
 *
 * Each frame names the positions that it covers, so a repeat is recognised and skipped and a hole is never passed over,
 * however the log was cut into frames and connections.
 */
import type { Cached } from "./session-cache.ts";
import {
  type Entry,
  entryOf,
  grown,
  isOpenRequest,
  type RunEntry,
  type StateEntry,
  stopFrom,
  stopTold,
} from "./entry.ts";
import {
  type Cursor,
  type EndFrame,
  type EntryFrame,
  type FragFrame,
  MAX_CURSOR_RUNS,
  type Outcome,
  type PageFrame,
  type RunFrame,
  type SessionFrame,
  type SubFrame,
} from "./wire.ts";

export type Phase = "pending" | "catching-up" | "live" | "denied";

export interface SessionState {
  readonly phase: Phase;
  /** How the latest subscription was answered. */
  readonly outcome: Outcome | undefined;
  /** Why the session is denied. */
  readonly refusal: { readonly code: string; readonly message: string } | undefined;

  /** The position: everything up to `have` has been applied. Without a tag it cannot serve as a cursor. */
  readonly epoch: string;
  readonly have: number;
  readonly tag: number | undefined;

  /** The window: from `first` on nothing is missing; `more` entries stand before it. */
  readonly first: number;
  readonly more: boolean;

  /** Sorted by offset. Of states the latest of each key. Open runs, open requests and states may stand before `first`. */
  readonly entries: readonly Entry[];
  readonly states: ReadonlyMap<string, StateEntry>;

  /** How many subscriptions are unanswered. What comes meanwhile belongs to an older one and is skipped. */
  readonly asked: number;
  /** How many holes were found since the session was last live. */
  readonly holes: number;
}

export interface Applied {
  readonly state: SessionState;
  /** There is a hole: subscribe again, with `subscription(state)`, and call `asked`. */
  readonly resubscribe: boolean;
  /** The messages that were added at the end, for matching own sends. */
  readonly added: readonly Entry[];
}

/** After so many holes without ever being live, the server is at fault and asking again would loop. */
const MAX_HOLES = 5;

export const UNREAD: SessionState = {
  phase: "pending",
  outcome: undefined,
  refusal: undefined,
  epoch: "",
  have: 0,
  tag: undefined,
  first: 1,
  more: false,
  entries: [],
  states: new Map(),
  asked: 0,
  holes: 0,
};

/** The state once a subscription has been sent. */
export function asked(state: SessionState): SessionState {
  return { ...state, phase: "pending", asked: state.asked + 1 };
}

/** The state once the connection is gone: what is held stays, nothing is awaited any more. */
export function cut(state: SessionState): SessionState {
  return { ...state, phase: "pending", asked: 0, holes: 0 };
}

/** Where to go on reading, or undefined if the state has no place that the server would know. */
export function cursorOf(state: SessionState): Cursor | undefined {
  if (state.tag === undefined || (state.have === 0 && state.epoch !== "")) return undefined;
  const open = state.entries.filter((e): e is RunEntry => e.kind === "run" && e.status === "open");
  if (open.length > MAX_CURSOR_RUNS) return undefined;
  const cursor = { e: state.epoch, o: state.have, g: state.tag };
  return open.length ? { ...cursor, r: open.map((r) => [r.offset, r.fragments, r.chain] as const) } : cursor;
}

/** What a page may keep of the session, if it has a place to go on from: the last `most` entries, and what is open. */
export function cachedOf(state: SessionState, at: number, most: number): Cached | undefined {
  const { epoch, have, tag, entries } = state;
  if (tag === undefined || !epoch) return undefined;
  const last = entries.slice(-most);
  const first = Math.max(state.first, entries.length > most ? (last[0]?.offset ?? 0) : 0);
  const open = entries
    .slice(0, -most)
    .filter((e) => e.kind === "state" || (e.kind === "run" ? e.status === "open" : isOpenRequest(e, entries)));
  return { at, epoch, have, tag, first, more: state.more || first > state.first, entries: [...open, ...last] };
}

/** The state with what was kept, for as long as the server has not answered. */
export function withCached(state: SessionState, { epoch, have, tag, first, more, entries }: Cached): SessionState {
  if (state.outcome) return state;
  const states = new Map(entries.flatMap((e) => (e.kind === "state" ? [[e.key, e] as const] : [])));
  // Asked already, it was asked without a cursor: this is to be shown, and not to be gone on from.
  return { ...state, epoch, have, tag: state.asked ? undefined : tag, first, more, entries, states };
}

export function apply(state: SessionState, frames: readonly SessionFrame[]): Applied {
  const draft = new Draft(state);
  for (const frame of frames) draft.take(frame);
  return draft.done();
}

/** Adds older entries, which were asked for before offset `before`. An answer that no longer fits changes nothing. */
export function withPage(state: SessionState, page: PageFrame, before: number): SessionState {
  if (page.e !== state.epoch || before !== state.first) return state;
  const held = new Set(state.entries.map((e) => e.offset));
  const states = new Map(state.states);
  let first = state.first;
  const older: Entry[] = [];
  // From the newest, so that the first state of a key is the one that counts.
  for (const item of [...page.items].reverse()) {
    first = Math.min(first, item.f ?? item.o);
    const entry = entryOf(item);
    if (!entry || item.o >= state.first || held.has(item.o)) continue;
    if (entry.kind === "state") {
      if (states.has(entry.key)) continue;
      states.set(entry.key, entry);
    }
    older.push(entry);
  }
  const entries = [...older, ...state.entries].sort((a, b) => a.offset - b.offset);
  // A page without items cannot be passed: were more believed then, the reader would ask for it for ever.
  return { ...state, first, more: page.more === true && first < before, entries, states };
}

/** One application of frames: copies what it changes once, not once a frame. */
class Draft {
  #state: SessionState;
  #entries: Entry[] | undefined;
  #states: Map<string, StateEntry> | undefined;
  #hole = false;
  readonly #added: Entry[] = [];

  constructor(state: SessionState) {
    this.#state = state;
  }

  done(): Applied {
    const entries = this.#entries ?? this.#state.entries;
    const states = this.#states ?? this.#state.states;
    return { state: { ...this.#state, entries, states }, resubscribe: this.#hole, added: this.#added };
  }

  take(frame: SessionFrame): void {
    if (frame.t === "sub") return this.#answered(frame);
    const { phase, asked } = this.#state;
    if (asked > 0 || phase === "denied" || phase === "pending") return;
    switch (frame.t) {
      case "entry":
      case "run":
        return this.#entry(frame);
      case "frag":
        return this.#fragment(frame);
      case "end":
        return this.#end(frame);
      case "live":
        if (frame.o > this.#state.have) return this.#foundHole();
        return this.#set({ phase: "live", holes: 0 });
    }
  }

  #answered(frame: SubFrame): void {
    const asked = Math.max(0, this.#state.asked - 1);
    this.#set({ asked });
    if (asked > 0) return;
    const { outcome, e: epoch = "", from = 1 } = frame;
    if (outcome === "denied") {
      const refusal = { code: frame.code ?? "forbidden", message: frame.msg ?? "" };
      return this.#set({ phase: "denied", outcome, refusal });
    }
    const { tag, have } = this.#state;
    const goesOn = outcome === "continuous" && tag !== undefined;
    this.#set({ phase: "catching-up", outcome, refusal: undefined, epoch });
    if (goesOn) return from > have + 1 ? this.#foundHole() : undefined;
    this.#entries = [];
    this.#states = new Map();
    this.#set({ have: from - 1, tag: from === 1 ? 0 : undefined, first: from, more: frame.more === true });
  }

  #entry(frame: EntryFrame | RunFrame): void {
    const { have, epoch } = this.#state;
    if (frame.o <= have) return this.#restated(frame);
    const otherLog = frame.e !== undefined && epoch !== "" && frame.e !== epoch;
    if ((frame.f ?? frame.o) > have + 1 || otherLog) return this.#foundHole();
    const entry = entryOf(frame);
    if (entry) this.#put(entry);
    if (entry?.kind === "message") this.#added.push(entry);
    this.#stopped(entry);
    this.#set({ have: frame.o, tag: frame.g, epoch: frame.e ?? epoch });
  }

  /** What an event says of a run's stop stands in the run too. That may know of the outcome already. */
  #stopped(entry: Entry | undefined): void {
    const stop = stopTold(entry);
    const run = this.#find(stop?.run ?? 0);
    if (!stop || run?.kind !== "run" || (run.stop && stop.state === "requested")) return;
    this.#put({ ...run, stop: stopFrom(stop) });
  }

  /** An entry at or before the position is a repeat, but for what matters before the window, and runs that grew. */
  #restated(frame: EntryFrame | RunFrame): void {
    const entry = entryOf(frame);
    const held = this.#find(frame.o);
    if (!entry) return;
    if (!held) {
      const latest = entry.kind === "state" ? ((this.#states ?? this.#state.states).get(entry.key)?.offset ?? 0) : 0;
      if (frame.o < this.#state.first && latest < frame.o) this.#put(entry);
      return;
    }
    if (entry.kind !== "run" || held.kind !== "run") return;
    const grew = entry.fragments > held.fragments;
    const changed = entry.fragments === held.fragments && held.status === "open";
    if (grew || changed) this.#put(entry);
  }

  #fragment(frame: FragFrame): void {
    const run = this.#find(frame.o);
    if (run?.kind !== "run") return frame.o > this.#state.have ? this.#foundHole() : undefined;
    if (frame.n <= run.fragments) return;
    if (run.status !== "open" || frame.n - (frame.m ?? 1) !== run.fragments) return this.#foundHole();
    this.#put(grown(run, [frame], frame.n, frame.h));
  }

  #end(frame: EndFrame): void {
    const run = this.#find(frame.o);
    if (run?.kind !== "run") return frame.o > this.#state.have ? this.#foundHole() : undefined;
    if (run.status !== "open") return;
    // The tag is over all fragments: equal, the text is what the producer wrote.
    if (frame.n !== run.fragments || frame.h !== run.chain) return this.#foundHole();
    this.#put({ ...run, status: frame.status, end: frame.data });
  }

  /** A second hole without having been live means that the cursor itself does not fit: begin anew without it. */
  #foundHole(): void {
    const holes = this.#state.holes + 1;
    if (holes > MAX_HOLES) {
      const refusal = { code: "internal", message: "what the server sends of this session has holes" };
      return this.#set({ phase: "denied", refusal });
    }
    this.#hole = true;
    this.#set({ phase: "pending", holes });
    if (holes > 1) this.#set({ tag: undefined });
  }

  #put(entry: Entry): void {
    this.#entries ??= [...this.#state.entries];
    const entries = this.#entries;
    if (entry.kind === "state") {
      this.#states ??= new Map(this.#state.states);
      const older = this.#states.get(entry.key);
      if (older) entries.splice(indexOf(entries, older.offset), 1);
      this.#states.set(entry.key, entry);
    }
    const i = indexOf(entries, entry.offset);
    entries.splice(i, entries[i]?.offset === entry.offset ? 1 : 0, entry);
  }

  #find(offset: number): Entry | undefined {
    const entries = this.#entries ?? this.#state.entries;
    const entry = entries[indexOf(entries, offset)];
    return entry?.offset === offset ? entry : undefined;
  }

  #set(change: Partial<SessionState>): void {
    this.#state = { ...this.#state, ...change };
  }
}

/** The index of the entry at the offset, or where it would stand. */
function indexOf(entries: readonly Entry[], offset: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if ((entries[mid]?.offset ?? 0) < offset) low = mid + 1;
    else high = mid;
  }
  return low;
}
