import type { Client } from "./client.ts";
import type { Entry, StateEntry } from "./entry.ts";
import type { Cancel } from "./env/env.ts";
import type { HoldfastError } from "./errors.ts";
import { Listeners } from "./listeners.ts";
import type { Ack, Command, Sending } from "./outbox.ts";
import { apply, asked, cursorOf, cut, type Phase, type SessionState, UNREAD } from "./session-state.ts";
import type { MembersFrame, Outcome, SessionFrame, SignalFrame, SubItem, WindowsFrame } from "./wire.ts";

export interface SessionOptions {
  /** How many entries to begin with. The server's default is 50, its limit 1000. */
  readonly last?: number;
  /**
   * For how long the server may hold back texts of runs, so that they come in fewer and larger frames, in ms, up to 500. Messages,
   * states, events, stops and ends are never held back. With tabs() it counts for nothing.
   */
  readonly rollup?: number;
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
  /** Whether there are entries before the first; get them with older(session). */
  readonly hasOlder: boolean;
}

/** Something told to whoever is connected, and not kept: typing, a cursor. */
export interface Signal {
  readonly data: unknown;
  readonly user: string;
  readonly client: string;
}

/** While catching up, entries are shown together: at the end, or after so many ms if it takes longer. */
const CATCH_UP_BATCH = 200;

/** One session, as this client reads it. Made by Client.session. */
export class Session {
  readonly id: string;
  readonly #client: Client;
  readonly #options: SessionOptions;
  readonly #listeners = new Listeners<void>();
  readonly #signals = new Listeners<Signal>();
  /** @internal Called when the reading ends. */
  readonly ending = new Listeners<void>();
  /** @internal How often it was asked for, and not closed. */
  holders = 0;

  /** @internal Are told who else is there, if that was asked for. */
  readonly members = new Listeners<MembersFrame>();
  /** @internal How this window's reading stands beside the user's others; see placeOf. */
  windows: WindowsFrame | undefined;
  /** What goes with the next subscription. */
  #more: Pick<SubItem, "act" | "watch"> = { act: "open" };

  #state = UNREAD;
  #snapshot: SessionSnapshot | undefined;

  /** Frames that have come and are not applied yet. */
  #inbox: SessionFrame[] = [];
  #catchingUp = false;
  #flushing: Cancel | undefined;

  /** @internal */
  constructor(client: Client, id: string, options: SessionOptions) {
    this.#client = client;
    this.id = id;
    this.#options = options;
  }

  /** Everything at once; the same object until something changes. */
  get snapshot(): SessionSnapshot {
    const { entries, states, phase: status, outcome, refusal: error, more: hasOlder } = this.#state;
    return (this.#snapshot ??= {
      entries,
      states,
      outbox: this.#client.outbox.of(this.id),
      status,
      outcome,
      error,
      hasOlder,
    });
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
    return this.#client.outbox.add(this.id, data, this.#client.max);
  }

  /**
   * Asks for something that is no message; stop() and its like are made of it. It is sent again over every reconnect
   * until it is answered: resolves then, and rejects if it is refused, by the server's code, or if the client is closed.
   */
  command(command: Command): Promise<Ack> {
    return this.#client.outbox.command(this.id, command);
  }

  /** Tells whoever is connected now; lost where nobody is, or where there is no connection. */
  signal(data: unknown): void {
    this.#client.link.send({ t: "signal", s: this.id, data });
  }

  onSignal(listener: (signal: Signal) => void): () => void {
    return this.#signals.add(listener);
  }

  /** Ends the reading. Where session() was called several times for this id, the last close does. */
  close(): void {
    const { sessions, link } = this.#client;
    if (--this.holders !== 0) return;
    sessions.delete(this.id);
    this.end();
    link.send({ t: "unsub", s: this.id });
    this.#client.changed();
  }

  /** @internal All that is held, with what has come and was not shown yet. */
  get held(): SessionState {
    this.#flush();
    return this.#state;
  }

  /** @internal The subscription for a new connection, or for this one anew. */
  ask(): SubItem {
    this.adopt(asked(this.held));
    return { s: this.id, ...this.#options, cur: cursorOf(this.#state), ...this.#more };
  }

  /** @internal Subscribes anew, where there is a connection. */
  resume(): void {
    const { link } = this.#client;
    if (link.open) link.send({ t: "sub", ...this.ask() });
  }

  /** @internal Asks anew: with an act of the user, or to be told who else is there. */
  again(more: Pick<SubItem, "act" | "watch">): void {
    this.#more = { ...this.#more, ...more };
    this.resume();
  }

  /** @internal */
  get client(): Client {
    return this.#client;
  }

  /** @internal */
  takeOthers(frame: WindowsFrame | MembersFrame): void {
    if (frame.t === "members") return this.members.tell(frame);
    this.windows = frame;
    this.changed();
  }

  /** @internal */
  take(frame: SessionFrame): void {
    this.#inbox.push(frame);
    if (frame.t === "sub") {
      // An act is over when it is answered.
      this.#more = { watch: this.#more.watch };
      this.#catchingUp = frame.outcome !== "denied";
    } else if (frame.t === "live") this.#catchingUp = false;
    const { env } = this.#client;
    const flush = () => this.#flush();
    if (this.#catchingUp) this.#flushing ??= env.timer(flush, CATCH_UP_BATCH);
    else env.soon(flush);
  }

  /** @internal */
  takeSignal({ data, u: user = "", c: client = "" }: SignalFrame): void {
    this.#signals.tell({ data, user, client });
  }

  /** @internal The connection is gone. */
  cut(): void {
    this.#catchingUp = false;
    this.adopt(cut(this.held));
  }

  /** @internal */
  end(): void {
    this.ending.tell();
    this.#flushing?.();
    this.#listeners.clear();
    this.members.clear();
  }

  /** @internal Something that the snapshot shows has changed. */
  changed(): void {
    this.#snapshot = undefined;
    this.#listeners.tellSoon(this.#client.env, () => {});
  }

  /** @internal Holds another state. */
  adopt(state: SessionState): void {
    const before = this.#state;
    if (state === before) return;
    this.#state = state;
    this.changed();
    if (state.phase !== before.phase) this.#client.changed();
  }

  #flush(): void {
    this.#flushing?.();
    this.#flushing = undefined;
    if (!this.#inbox.length) return;
    const { state, added, resubscribe } = apply(this.#state, this.#inbox.splice(0));
    this.adopt(state);
    const { outbox, stats } = this.#client;
    // An id is one of its user's: others may have taken the same.
    for (const { id, user, offset, at } of added) if (user === stats.user) outbox.arrived(id, { offset, at });
    outbox.shown(this.id, state.have);
    if (resubscribe) this.resume();
  }
}
