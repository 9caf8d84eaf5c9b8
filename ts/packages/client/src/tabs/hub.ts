import type { Cancel, Env } from "../env/env.ts";
import type { Link, OwnedFrame } from "../link.ts";
import { withPage } from "../older.ts";
import { apply, asked, cursorOf, cut, type SessionState, UNREAD } from "../session-state.ts";
import type { ClientFrame, EntryItem, ErrFrame, PageFrame, RunItem, SessionFrame, StopItem, SubItem } from "../wire.ts";
import { answer } from "./answer.ts";
import type { Wanted } from "./reading.ts";

/** What a hub asks of the tab that it lives in. */
export interface HubOwner {
  readonly tab: string;
  /** To the tab that it lives in, at once. */
  here(frame: OwnedFrame): void;
  /** To one tab, or to all others. */
  tell(frames: readonly OwnedFrame[], to?: string): void;
  /** Looks whether a tab is gone, and calls back if it is. */
  gone(tab: string, run: () => void): void;
}

/**
 * How often to look whether a tab that said nothing of its end is gone, in ms. To look is to ask for its lock: a lock that
 * others always wait for would keep the tab out of the back/forward cache.
 */
const LOOK = 15_000;

interface Ask {
  readonly tab: string;
  readonly sub: SubItem;
  readonly at: number;
}

/** One session as it is read for all tabs. */
interface Room {
  state: SessionState;
  readonly tags: Map<number, number>;
  readonly last: number | undefined;
  /** What goes with the subscription besides: what a user has done, until it is answered, and what any tab wants. */
  more: Pick<SubItem, "act" | "watch">;
  readonly readers: Set<string>;
  asks: Ask[];
  /** The offset that the page under way was asked before, and how many may follow it. */
  page: number | undefined;
  pages: number;
}

/** How many pages are read for a tab that is far behind; after that it is given a snapshot. */
const PAGES = 50;
const PAGE = 200;
/** A tab that is ahead for so long, in ms, read another log. */
const AHEAD = 1_000;
/**
 * How far apart tabs are told, in ms: what comes meanwhile is told together. To wake thirty tabs for each fragment of a run
 * takes more of a machine than the run itself, and nobody sees the hidden ones.
 */
const PACE_VISIBLE = 30;
const PACE_HIDDEN = 60;

/**
 * Reads for many tabs over one connection, and is to each of them what the server is to one: a subscription is always
 * answered, with what follows its cursor. The answer comes out of what the hub holds itself, so that the one cursor on the
 * connection never moves back: nobody is sent anything twice, and nobody disturbs another.
 *
 * All frames that the hub has applied go to all tabs, in that order. After its answer a tab is exactly where the hub is,
 * to the fragment, so each further frame fits both; what the tab has already it passes over by its position, and where
 * something is missing it asks again.
 */
export class Hub {
  readonly #env: Pick<Env, "now" | "soon" | "timer">;
  /** The client id that all of its frames to the server carry. */
  readonly #client: string;
  readonly #owner: HubOwner;
  /** What the server is written to by. It is given once, before anything happens. */
  line!: Pick<Link, "open" | "send" | "stats">;
  readonly #rooms = new Map<string, Room>();
  /** The other tabs that have joined, and whether somebody looks at them. */
  readonly #joined = new Map<string, boolean>();
  #lookedAt = 0;
  /** What all others are still to be told, when they were told last, and when they will be. */
  #out: OwnedFrame[] = [];
  #toldAt = 0;
  #telling: Cancel | undefined;
  #joining: { readonly tab: string; readonly frames: OwnedFrame[] } | undefined;
  /** Sessions in which a message was refused for now, and the tabs that have begun again since, with their first. */
  readonly #refused = new Map<string, readonly [refusal: ErrFrame, begun: Set<string>]>();

  constructor(env: Pick<Env, "now" | "soon" | "timer">, client: string, owner: HubOwner) {
    this.#env = env;
    this.#client = client;
    this.#owner = owner;
  }

  /** Reads a session for a tab that is going to join, going on from what that holds of it. */
  expect(tab: string, { s, last, watch }: Wanted, held: SessionState | undefined): void {
    const room = this.#room(last, held ? cut(held) : UNREAD);
    if (watch) room.more = { watch };
    room.readers.add(tab);
    this.#rooms.set(s, room);
  }

  /** Tells what there is to tell, and nothing after that. */
  end(): void {
    this.#flush();
  }

  // From the connection

  attach(): readonly SubItem[] {
    return [...this.#rooms].map(([s, room]) => {
      room.state = cut(room.state);
      return this.#ask(s, room);
    });
  }

  welcomed(): void {
    this.#sweep();
    // What was opened after hello and before its answer.
    for (const [s, room] of this.#rooms) if (this.#unasked(room)) this.#subscribe(s, room);
  }

  cut(): void {
    // Over the next connection each tab sends all that it has.
    this.#refused.clear();
    for (const room of this.#rooms.values()) {
      room.state = cut(room.state);
      room.page = undefined;
      room.asks = [];
    }
  }

  upToDate(): boolean {
    return [...this.#rooms.values()].every(({ state }) => state.phase === "live" || state.phase === "denied");
  }

  frame(frame: OwnedFrame): void {
    switch (frame.t) {
      case "page":
        return this.#routed(frame.id, (tab, id) => {
          const page = { ...frame, id, items: frame.items.map((item) => this.#item(item)) };
          if (tab) this.#owner.tell([page], tab);
          else this.#paged(page);
        });
      case "err": {
        const { re, s, after, code, msg } = frame;
        if (re === "page") {
          return this.#routed(frame.id ?? "", (tab, id) => {
            if (tab) this.#owner.tell([{ ...frame, id }], tab);
            else this.#unpaged(s);
          });
        }
        if (re === "send" && s && after) this.#refused.set(s, [frame, new Set()]);
        if (re !== "sub" || !s) break;
        if (after) return this.#again(s, after);
        return this.frame({ t: "sub", s, outcome: "denied", code, msg });
      }
      case "ack":
      case "signal":
      case "windows":
      case "members":
      case "report":
        break;
      case "entry":
      case "run":
        return this.#take(this.#item(frame));
      default:
        return this.#take(frame);
    }
    this.#broadcast(frame);
  }

  // From the tabs

  /** A tab begins anew: with these, and nothing that it had asked for before. */
  join(tab: string, subs: readonly SubItem[], visible: boolean): void {
    if (tab !== this.#owner.tab) this.#joined.set(tab, visible);
    for (const room of this.#rooms.values()) this.#forget(room, tab);
    // What can be answered at once goes together. It may be nothing: that is the sign of life that the tab waits for.
    const frames: OwnedFrame[] = [];
    this.#joining = { tab, frames };
    for (const sub of subs) this.#sub(tab, sub);
    this.#joining = undefined;
    this.#owner.tell(frames, tab);
    this.#sweep();
  }

  /** Whether somebody looks at a tab. */
  see(tab: string, visible: boolean): void {
    if (this.#joined.has(tab)) this.#joined.set(tab, visible);
    if (visible) this.#flush();
  }

  leave(tab: string): void {
    this.#joined.delete(tab);
    for (const room of this.#rooms.values()) this.#forget(room, tab);
    this.#sweep();
  }

  /** What a tab says to the server; `client` is what it calls itself. */
  up(tab: string, client: string, frame: ClientFrame): void {
    switch (frame.t) {
      case "sub":
        return this.#sub(tab, frame);
      case "unsub": {
        const room = this.#rooms.get(frame.s);
        if (room) this.#forget(room, tab);
        return this.#sweep();
      }
      case "page":
        return this.line.send({ ...frame, id: `${tab}/${frame.id}` });
      case "send":
        return this.#message(tab, frame);
      case "signal":
        // The server tells the other connections; the other tabs on this one are told here.
        this.#broadcast({ ...frame, u: this.line.stats.user, c: client });
    }
    this.line.send(frame);
  }

  /**
   * Keeps each tab's messages in order where one in the session was refused for now. The server lets none in after it, until
   * that one or a first one comes, but cannot know which tab a message is from. So each tab has to begin again: what it had
   * sent before it heard of that is refused here, lest it be let in before what was.
   */
  #message(tab: string, frame: Extract<ClientFrame, { t: "send" }>): void {
    const [refusal, begun] = this.#refused.get(frame.s) ?? [];
    if (refusal && !frame.first && !begun?.has(tab)) return this.#reply(tab, [{ ...refusal, id: frame.id }]);
    this.line.send({ ...frame, first: begun?.size === 0 || undefined });
    begun?.add(tab);
  }

  /** Answers those who have waited for too long, and leaves those who are gone. */
  tick(): void {
    const now = this.#env.now();
    if (Math.abs(now - this.#lookedAt) >= LOOK) {
      this.#lookedAt = now;
      for (const tab of this.#joined.keys()) this.#owner.gone(tab, () => this.leave(tab));
    }
    for (const [s, room] of this.#rooms) if (room.asks.length && room.page === undefined) this.#serve(s, room);
  }

  #room(last: number | undefined, state: SessionState): Room {
    return { state, tags: new Map(), last, more: {}, readers: new Set(), asks: [], page: undefined, pages: PAGES };
  }

  #unasked = ({ state }: Room) => !state.asked && state.phase === "pending";

  #sub(tab: string, sub: SubItem): void {
    const { s } = sub;
    let room = this.#rooms.get(s);
    if (!room) this.#rooms.set(s, (room = this.#room(sub.last, UNREAD)));
    room.readers.add(tab);
    room.asks = [...room.asks.filter((ask) => ask.tab !== tab), { tab, sub, at: this.#env.now() }];
    room.pages = PAGES;
    const { act } = sub;
    // It is told with the answer under way, if that was asked for it.
    const watch = sub.watch && !(room.state.asked && room.more.watch);
    room.more = { ...room.more, ...(act && { act }), ...(sub.watch && { watch: true as const }) };
    // Who is there is told with an answer of the server's only. Who is denied may have been let in meanwhile.
    if (watch || act === "claim" || this.#unasked(room) || room.state.phase === "denied")
      return this.#subscribe(s, room);
    this.#serve(s, room);
  }

  #forget(room: Room, tab: string): void {
    room.readers.delete(tab);
    room.asks = room.asks.filter((ask) => ask.tab !== tab);
  }

  #sweep(): void {
    for (const [s, room] of this.#rooms) {
      // What a hello has named can be left only once that is answered: until then nothing can be sent.
      if (room.readers.size || (room.state.asked && !this.line.open)) continue;
      this.#rooms.delete(s);
      this.line.send({ t: "unsub", s });
    }
  }

  #ask(s: string, room: Room): SubItem {
    room.state = asked(room.state);
    const cur = cursorOf(room.state);
    return { s, ...(room.last !== undefined && { last: room.last }), ...(cur && { cur }), ...room.more };
  }

  #subscribe(s: string, room: Room): void {
    if (this.line.open) this.line.send({ t: "sub", ...this.#ask(s, room) });
  }

  /**
   * The server answers later. Until then the session stays as it was asked for: what an older reading brings meanwhile is
   * passed over, since it follows the cursor that is asked with again.
   */
  #again(s: string, after: number): void {
    const room = this.#rooms.get(s);
    // Whoever read it may have left meanwhile, and others may have opened it anew.
    if (room) this.#env.timer(() => room.readers.size && this.#subscribe(s, room), after);
  }

  #take(frame: SessionFrame): void {
    const { s } = frame;
    const room = this.#rooms.get(s);
    if (!room) return;
    const before = room.state;
    const { state, resubscribe } = apply(before, [frame]);
    room.state = state;
    if (frame.t === "sub") room.more = room.more.watch ? { watch: true } : {};
    if (frame.t === "entry" || frame.t === "run") room.tags.set(frame.o, frame.g);
    const reading = before.phase === "catching-up" || before.phase === "live";
    if (frame.t === "sub" || (reading && !resubscribe)) this.#broadcast(frame);
    if (resubscribe) this.#subscribe(s, room);
    if (room.asks.length) this.#serve(s, room);
  }

  #serve(s: string, room: Room): void {
    const { phase } = room.state;
    if (room.page !== undefined || (phase !== "live" && phase !== "denied")) return;
    const waiting: Ask[] = [];
    let older = false;
    for (const ask of room.asks) {
      const late = this.#env.now() - ask.at >= AHEAD;
      const frames = answer(room, ask.sub, false);
      const given = frames === "older" ? room.pages < 1 : frames === "later" && late;
      if (typeof frames !== "string") this.#reply(ask.tab, frames);
      else if (given) this.#reply(ask.tab, answer(room, ask.sub, true) as readonly SessionFrame[]);
      else {
        waiting.push(ask);
        older ||= frames === "older";
      }
    }
    room.asks = waiting;
    if (!older) return;
    room.pages--;
    room.page = room.state.first;
    this.line.send({ t: "page", id: `/${s}`, s, before: room.page, limit: PAGE });
  }

  #paged(frame: PageFrame): void {
    const room = this.#rooms.get(frame.s);
    if (room?.page === undefined) return;
    const { first } = room.state;
    for (const { o, g } of frame.items) room.tags.set(o, g);
    room.state = withPage(room.state, frame, room.page);
    room.page = undefined;
    if (room.state.first === first) room.pages = 0;
    this.#serve(frame.s, room);
  }

  #unpaged(s: string | undefined): void {
    const room = this.#rooms.get(s ?? "");
    if (!room) return;
    room.page = undefined;
    room.pages = 0;
    this.#serve(s ?? "", room);
  }

  /** The ids of pages are a session's own, so they carry the tab; the hub's own carry none. */
  #routed(id: string, to: (tab: string, id: string) => void): void {
    const at = id.indexOf("/");
    to(id.slice(0, at), id.slice(at + 1));
  }

  /**
   * The server knows all tabs as one client. The ids of messages, stops and answers begin with the client that the tab is to itself,
   * and so each is shown as who it is.
   */
  #item<T extends EntryItem | RunItem>(item: T): T {
    const named = this.#author(item);
    if (named.t === "run") return named.stop ? { ...named, stop: this.#author(named.stop) } : named;
    const data = named.k === "event" ? (named.data as { readonly stop?: StopItem } | null | undefined) : undefined;
    return data?.stop ? { ...named, data: { ...data, stop: this.#author(data.stop) } } : named;
  }

  #author<T extends { readonly id?: string; readonly c?: string }>(by: T): T {
    const end = by.c === this.#client ? (by.id?.lastIndexOf(":") ?? 0) : 0;
    return end > 0 ? { ...by, c: by.id?.slice(0, end) } : by;
  }

  #reply(tab: string, frames: readonly OwnedFrame[]): void {
    if (tab === this.#joining?.tab) this.#joining.frames.push(...frames);
    else this.#owner.tell(frames, tab);
  }

  #broadcast(frame: OwnedFrame): void {
    this.#owner.here(frame);
    if (!this.#joined.size) return;
    this.#out.push(frame);
    const pace = [...this.#joined.values()].includes(true) ? PACE_VISIBLE : PACE_HIDDEN;
    const wait = this.#toldAt + pace - this.#env.now();
    const flush = () => this.#flush();
    // A hidden tab's timers are late. The frames that come are not, so they look whether it is time.
    if (wait <= 0 || wait > pace) this.#env.soon(flush);
    else this.#telling ??= this.#env.timer(flush, wait);
  }

  #flush(): void {
    this.#telling?.();
    this.#telling = undefined;
    const frames = this.#out;
    if (!frames.length) return;
    this.#out = [];
    this.#toldAt = this.#env.now();
    this.#owner.tell(frames);
  }
}
