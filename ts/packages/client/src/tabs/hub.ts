import type { OwnedFrame } from "../link.ts";
import { apply, asked, cursorOf, cut, type SessionState, UNREAD, withPage } from "../session-state.ts";
import type { ClientFrame, EntryItem, PageFrame, RunItem, SessionFrame, SubItem } from "../wire.ts";
import { answer } from "./answer.ts";

/** What a hub asks of the tab that it lives in. */
export interface HubOwner {
  /** The client id that all of its frames to the server carry. */
  readonly client: string;
  /** Who they are all signed in as. */
  user(): string;
  /** Whether the server can be written to. */
  open(): boolean;
  write(frame: ClientFrame): void;
  /** To one tab, or to all. */
  tell(frames: readonly OwnedFrame[], to?: string): void;
  soon(run: () => void): void;
  now(): number;
}

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
 * Reads for many tabs over one connection, and is to each of them what the server is to one: a subscription is always
 * answered, with what follows its cursor. The answer comes out of what the hub holds itself, so that the one cursor on the
 * connection never moves back: nobody is sent anything twice, and nobody disturbs another.
 *
 * All frames that the hub has applied go to all tabs, in that order. After its answer a tab is exactly where the hub is,
 * to the fragment, so each further frame fits both; whatever does not, a tab finds out by its position, and asks again.
 */
export class Hub {
  readonly #owner: HubOwner;
  readonly #rooms = new Map<string, Room>();
  readonly #joined = new Set<string>();
  #out: OwnedFrame[] = [];

  constructor(owner: HubOwner) {
    this.#owner = owner;
  }

  /** Reads a session for a tab that is going to join, going on from what that holds of it. */
  expect(tab: string, { s, last }: SubItem, held: SessionState | undefined): void {
    const room = this.#room(last, held ? cut(held) : UNREAD);
    room.readers.add(tab);
    this.#rooms.set(s, room);
  }

  /** Whether anybody but this tab has joined. */
  serves(but: string): boolean {
    return [...this.#joined].some((tab) => tab !== but);
  }

  // From the connection

  attach(): readonly SubItem[] {
    return [...this.#rooms].map(([s, room]) => {
      room.state = cut(room.state);
      return this.#ask(s, room);
    });
  }

  welcomed(): void {
    // What was opened after hello and before its answer.
    for (const [s, room] of this.#rooms) if (this.#unasked(room)) this.#subscribe(s, room);
  }

  cut(): void {
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
          if (tab) this.#tell(tab, [page]);
          else this.#paged(page);
        });
      case "err":
        if (frame.re === "page") {
          return this.#routed(frame.id ?? "", (tab, id) => {
            if (tab) this.#tell(tab, [{ ...frame, id }]);
            else this.#unpaged(frame.s);
          });
        }
        if (frame.re !== "sub" || !frame.s) break;
        return this.frame({ t: "sub", s: frame.s, outcome: "denied", code: frame.code, msg: frame.msg });
      case "ack":
      case "signal":
      case "windows":
      case "members":
      case "report":
        break;
      default:
        return this.#take(this.#named(frame));
    }
    this.#broadcast(frame);
  }

  // From the tabs

  /** A tab begins anew: with these, and nothing that it had asked for before. */
  join(tab: string, subs: readonly SubItem[]): void {
    this.#joined.add(tab);
    for (const room of this.#rooms.values()) this.#forget(room, tab);
    // The sign of life that it waits for; answers may take as long as the server.
    this.#tell(tab, []);
    for (const sub of subs) this.#sub(tab, sub);
    this.#sweep();
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
        return this.#owner.write({ ...frame, id: `${tab}/${frame.id}` });
      case "signal":
        // The server tells the other connections; the other tabs on this one are told here.
        this.#broadcast({ ...frame, u: this.#owner.user(), c: client });
    }
    this.#owner.write(frame);
  }

  /** Answers those who have waited for too long. */
  tick(): void {
    for (const [s, room] of this.#rooms) if (room.asks.length && room.page === undefined) this.#serve(s, room);
  }

  #room(last: number | undefined, state: SessionState): Room {
    return { state, tags: new Map(), last, more: {}, readers: new Set(), asks: [], page: undefined, pages: PAGES };
  }

  #unasked = ({ state }: Room) => state.asked === 0 && state.phase === "pending";

  #sub(tab: string, sub: SubItem): void {
    const { s } = sub;
    let room = this.#rooms.get(s);
    if (!room) this.#rooms.set(s, (room = this.#room(sub.last, UNREAD)));
    room.readers.add(tab);
    room.asks = [...room.asks.filter((ask) => ask.tab !== tab), { tab, sub, at: this.#owner.now() }];
    room.pages = PAGES;
    const { act, watch } = sub;
    room.more = { ...room.more, ...(act && { act }), ...(watch && { watch }) };
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
      if (room.readers.size) continue;
      this.#rooms.delete(s);
      this.#owner.write({ t: "unsub", s });
    }
  }

  #ask(s: string, room: Room): SubItem {
    room.state = asked(room.state);
    const cur = cursorOf(room.state);
    return { s, ...(room.last !== undefined && { last: room.last }), ...(cur && { cur }), ...room.more };
  }

  #subscribe(s: string, room: Room): void {
    if (this.#owner.open()) this.#owner.write({ t: "sub", ...this.#ask(s, room) });
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
    const reading = before.asked === 0 && (before.phase === "catching-up" || before.phase === "live");
    if (frame.t === "sub" ? state.asked === 0 : reading && !resubscribe) this.#broadcast(frame);
    if (resubscribe) this.#subscribe(s, room);
    if (room.asks.length) this.#serve(s, room);
  }

  #serve(s: string, room: Room): void {
    const { phase } = room.state;
    if (room.page !== undefined || (phase !== "live" && phase !== "denied")) return;
    const waiting: Ask[] = [];
    let older = false;
    for (const ask of room.asks) {
      const late = this.#owner.now() - ask.at >= AHEAD;
      const frames = answer(room, ask.sub, false);
      const given = frames === "older" ? room.pages < 1 : frames === "later" && late;
      if (typeof frames !== "string") this.#tell(ask.tab, frames);
      else if (given) this.#tell(ask.tab, answer(room, ask.sub, true) as readonly SessionFrame[]);
      else {
        waiting.push(ask);
        older ||= frames === "older";
      }
    }
    room.asks = waiting;
    if (!older) return;
    room.pages--;
    room.page = room.state.first;
    this.#owner.write({ t: "page", id: `/${s}`, s, before: room.page, limit: PAGE });
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
   * The server knows all tabs as one client. The ids of messages begin with the client that the tab is to itself, and so
   * each is shown as who it is.
   */
  #named(frame: SessionFrame): SessionFrame {
    return frame.t === "entry" || frame.t === "run" ? this.#item(frame) : frame;
  }

  #item<T extends EntryItem | RunItem>(item: T): T {
    const end = item.c === this.#owner.client ? (item.id?.lastIndexOf(":") ?? 0) : 0;
    return end > 0 ? { ...item, c: item.id?.slice(0, end) } : item;
  }

  #tell(tab: string, frames: readonly OwnedFrame[]): void {
    this.#flush();
    this.#owner.tell(frames, tab);
  }

  #broadcast(frame: OwnedFrame): void {
    if (this.#out.push(frame) === 1) this.#owner.soon(() => this.#flush());
  }

  #flush(): void {
    const frames = this.#out;
    this.#out = [];
    if (frames.length) this.#owner.tell(frames);
  }
}
