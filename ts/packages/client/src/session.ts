import { Deferred } from "./deferred.ts";
import type { Entry, StateEntry } from "./entry.ts";
import type { Cancel, Env } from "./env/env.ts";
import { HoldfastError } from "./errors.ts";
import { Listeners } from "./listeners.ts";
import type { Sending } from "./outbox.ts";
import type { SessionCache } from "./session-cache.ts";
import { apply, asked, cachedOf, cursorOf, cut, type Phase, type SessionState } from "./session-state.ts";
import { UNREAD, withCached, withPage } from "./session-state.ts";
import type {
  ClientFrame,
  ErrFrame,
  MembersFrame,
  Outcome,
  PageFrame,
  SessionFrame,
  SignalFrame,
  SubItem,
  WindowsFrame,
} from "./wire.ts";

export interface SessionOptions {
  /** How many entries to begin with. The server's default is 50, its limit 1000. */
  readonly last?: number;
}

/** What a session shows at one time. It does not change; after a change there is another one. */
export interface SessionSnapshot {
  /** Sorted by offset, without a hole from the first to the last; open runs and states may stand before that. */
  readonly entries: readonly Entry[];
  /** The latest state of each key. */
  readonly states: ReadonlyMap<string, StateEntry>;
  /** This client's messages that are not yet among the entries, in the order sent. */
  readonly outbox: readonly Sending[];
  /**
   * - pending: not answered yet, or no connection; the entries are those of before.
   * - catching-up: what was missed is coming.
   * - live: the entries are all there are.
   * - denied: the server refuses, see error.
   */
  readonly status: Phase;
  /** How the server answered last: `continuous` if nothing had to be dropped. */
  readonly outcome: Outcome | undefined;
  readonly error: HoldfastError | undefined;
  /** Whether there are entries before the first; get them with older(). */
  readonly hasOlder: boolean;
}

/** Something told to whoever is connected, and not kept: typing, a cursor. */
export interface Signal {
  readonly data: unknown;
  readonly user: string;
  readonly client: string;
}

/** What a session asks of its client. */
export interface SessionOwner {
  readonly env: Env;
  readonly cache: SessionCache | undefined;
  readonly open: boolean;
  write(frame: ClientFrame): void;
  send(session: string, data: unknown): Sending;
  outbox(session: string): readonly Sending[];
  /** Entries have been applied: `added` at the end, up to offset `have`. */
  applied(session: string, added: readonly Entry[], have: number): void;
  phaseChanged(): void;
  closed(session: Session): void;
}

/** While catching up, entries are shown together: at the end, or after so many ms if it takes longer. */
const CATCH_UP_BATCH = 200;

/** What is kept for the next page: so many entries, so many ms after a change. */
const CACHED = 200;
const CACHE_PAUSE = 2_000;

interface PageWanted {
  readonly limit: number;
  /** Settles with whether there are still more. */
  readonly answer: Deferred<boolean>;
  /** The request under way: its id, and the offset that it asked before. */
  asked: { readonly id: string; readonly before: number } | undefined;
}

/** One session, as this client reads it. Made by Client.session. */
export class Session {
  readonly id: string;
  readonly #owner: SessionOwner;
  readonly #last: number | undefined;
  readonly #listeners = new Listeners<void>();
  readonly #signals = new Listeners<Signal>();

  #state: SessionState = UNREAD;
  #snapshot: SessionSnapshot | undefined;
  #notifying = false;

  /** Frames that have come and are not applied yet. */
  #inbox: SessionFrame[] = [];
  #catchingUp = false;
  #flushing: Cancel | undefined;
  #saving: Cancel | undefined;

  /** What goes with the next subscription, and whom else it tells what comes of that. */
  #more: Pick<SubItem, "act" | "watch"> = { act: "open" };
  /** @internal Are told who else is there, if that was asked for. */
  readonly members = new Listeners<MembersFrame>();
  /** @internal How this window's reading stands beside the user's others; see placeOf. */
  windows: WindowsFrame | undefined;

  #page: PageWanted | undefined;
  #pages = 0;

  /** @internal */
  constructor(owner: SessionOwner, id: string, options: SessionOptions) {
    this.#owner = owner;
    this.id = id;
    this.#last = options.last;
    void owner.cache?.load(id).then(
      (cached) => cached && this.#set(withCached(this.#state, cached)),
      () => {},
    );
  }

  /** Everything at once; the same object until something changes. */
  get snapshot(): SessionSnapshot {
    this.#snapshot ??= this.#take();
    return this.#snapshot;
  }

  get entries(): readonly Entry[] {
    return this.snapshot.entries;
  }

  get states(): ReadonlyMap<string, StateEntry> {
    return this.snapshot.states;
  }

  get outbox(): readonly Sending[] {
    return this.snapshot.outbox;
  }

  get status(): Phase {
    return this.snapshot.status;
  }

  get outcome(): Outcome | undefined {
    return this.snapshot.outcome;
  }

  get error(): HoldfastError | undefined {
    return this.snapshot.error;
  }

  get hasOlder(): boolean {
    return this.snapshot.hasOlder;
  }

  /** Calls `listener` after changes, once for all that came together. Returns what ends it. */
  subscribe(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }

  /**
   * Sends a message; data must be JSON. It is on its way at once, or as soon as there is a connection, also after a
   * reload of the page.
   */
  send(data: unknown): Sending {
    return this.#owner.send(this.id, data);
  }

  /** Tells whoever is connected now; lost where nobody is, or where there is no connection. */
  signal(data: unknown): void {
    if (this.#owner.open) this.#owner.write({ t: "signal", s: this.id, data });
  }

  onSignal(listener: (signal: Signal) => void): () => void {
    return this.#signals.add(listener);
  }

  /**
   * Gets up to `limit` (1 to 200) entries before the first. Resolves once they are among the entries, with whether there
   * are still more; asked again meanwhile, it is the same answer. Waits for a connection if there is none.
   */
  older(limit = 50): Promise<boolean> {
    if (this.#page) return this.#page.answer.promise;
    if (this.#state.phase === "live" && !this.#state.more) return Promise.resolve(false);
    const answer = new Deferred<boolean>();
    this.#page = { limit, answer, asked: undefined };
    this.#askForPage();
    return answer.promise;
  }

  /** Ends the reading. Where session() was called several times for this id, the last close does. */
  close(): void {
    this.#owner.closed(this);
  }

  /** @internal */
  get owner(): SessionOwner {
    return this.#owner;
  }

  /** @internal Up to which offset the entries reach. */
  get have(): number {
    return this.#state.have;
  }

  /** @internal All that is held, with what has come and was not shown yet. */
  get held(): SessionState {
    this.#flush();
    return this.#state;
  }

  /** @internal The subscription for a new connection, or for this one anew. */
  ask(): SubItem {
    this.#flush();
    this.#set(asked(this.#state));
    const cur = cursorOf(this.#state);
    return {
      s: this.id,
      ...(this.#last !== undefined && { last: this.#last }),
      ...(cur && { cur }),
      ...this.#more,
    };
  }

  /** @internal Asks anew: with an act of the user, or to be told who else is there. */
  again(more: Pick<SubItem, "act" | "watch">): void {
    this.#more = { ...this.#more, ...more };
    if (this.#owner.open) this.#owner.write({ t: "sub", ...this.ask() });
  }

  /** @internal */
  takeOthers(frame: WindowsFrame | MembersFrame): void {
    if (frame.t === "members") return this.members.tell(frame);
    this.windows = frame;
    this.changed();
  }

  /** @internal */
  take(frame: SessionFrame): void {
    // An act is over when it is answered.
    if (frame.t === "sub") this.#more = this.#more.watch ? { watch: true } : {};
    this.#inbox.push(frame);
    if (frame.t === "sub") this.#catchingUp = frame.outcome !== "denied";
    if (frame.t === "live") this.#catchingUp = false;
    const { env } = this.#owner;
    if (this.#catchingUp) {
      this.#flushing ??= env.timer(() => this.#flush(), CATCH_UP_BATCH);
    } else if (this.#inbox.length === 1 || frame.t === "live" || frame.t === "sub") {
      env.soon(() => this.#flush());
    }
  }

  /** @internal */
  takePage(frame: PageFrame): void {
    this.#flush();
    const page = this.#page;
    if (page?.asked?.id !== frame.id) return;
    const state = withPage(this.#state, frame, page.asked.before);
    if (state === this.#state) {
      // The session was answered anew meanwhile, and begins elsewhere now.
      page.asked = undefined;
      return this.#askForPage();
    }
    this.#page = undefined;
    this.#set(state);
    page.answer.resolve(state.more);
  }

  /** @internal */
  takeSignal(frame: SignalFrame): void {
    this.#signals.tell({ data: frame.data, user: frame.u ?? "", client: frame.c ?? "" });
  }

  /** @internal A subscription or a page was refused. */
  refused(frame: ErrFrame): void {
    if (frame.re === "sub") {
      return this.take({ t: "sub", s: this.id, outcome: "denied", code: frame.code, msg: frame.msg });
    }
    if (frame.re === "page" && this.#page?.asked?.id === frame.id) this.#failPage(frame.code, frame.msg);
  }

  /** @internal The connection is gone. */
  cut(): void {
    this.#flush();
    this.#catchingUp = false;
    if (this.#page) this.#page.asked = undefined;
    this.#set(cut(this.#state));
  }

  /** @internal Keeps what is there for the next page, now. */
  save(): void {
    this.#saving?.();
    this.#saving = undefined;
    const cached = cachedOf(this.#state, this.#owner.env.now(), CACHED);
    if (cached) this.#owner.cache?.save(this.id, cached);
  }

  /** @internal */
  end(): void {
    this.#flushing?.();
    if (this.#saving) this.save();
    this.#failPage("closed", "the session was closed");
    this.#listeners.clear();
    this.members.clear();
    this.#signals.clear();
  }

  /** @internal Something that the snapshot shows has changed. */
  changed(): void {
    this.#snapshot = undefined;
    if (this.#notifying) return;
    this.#notifying = true;
    this.#owner.env.soon(() => {
      this.#notifying = false;
      this.#listeners.tell();
    });
  }

  #take(): SessionSnapshot {
    const { entries, states, phase, outcome, refusal, more } = this.#state;
    return {
      entries,
      states,
      outbox: this.#owner.outbox(this.id),
      status: phase,
      outcome,
      error: refusal && new HoldfastError(refusal.code, refusal.message),
      hasOlder: more,
    };
  }

  #flush(): void {
    this.#flushing?.();
    this.#flushing = undefined;
    if (!this.#inbox.length) return;
    const frames = this.#inbox;
    this.#inbox = [];
    const { state, added, resubscribe } = apply(this.#state, frames);
    this.#set(state);
    this.#owner.applied(this.id, added, state.have);
    if (this.#owner.cache) this.#saving ??= this.#owner.env.timer(() => this.save(), CACHE_PAUSE);
    if (resubscribe && this.#owner.open) this.#owner.write({ t: "sub", ...this.ask() });
    this.#askForPage();
  }

  #askForPage(): void {
    const page = this.#page;
    const { phase, first, more, refusal } = this.#state;
    if (!page) return;
    if (phase === "denied") return this.#failPage(refusal?.code ?? "forbidden", refusal?.message ?? "");
    if (page.asked || phase !== "live" || !this.#owner.open) return;
    if (!more) {
      this.#page = undefined;
      return page.answer.resolve(false);
    }
    page.asked = { id: `p${++this.#pages}`, before: first };
    this.#owner.write({ t: "page", id: page.asked.id, s: this.id, before: first, limit: page.limit });
  }

  #failPage(code: string, message: string): void {
    const page = this.#page;
    this.#page = undefined;
    page?.answer.reject(new HoldfastError(code, message));
  }

  #set(state: SessionState): void {
    if (state === this.#state) return;
    const moved = state.phase !== this.#state.phase;
    this.#state = state;
    this.changed();
    if (moved) this.#owner.phaseChanged();
  }
}
