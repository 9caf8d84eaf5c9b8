import { Client } from "../../src/client.ts";
import type { Cancel, Env, FetchAnswer, PageSignal, Pipe, PipeEvents } from "../../src/env/env.ts";
import { memoryStorage } from "../../src/env/memory-storage.ts";
import type { LockMode, Siblings } from "../../src/env/siblings.ts";
import type { Session } from "../../src/session.ts";
import { tabs, type TabsOptions } from "../../src/tabs/index.ts";
import { Conn, TabServer, tokenOf } from "./server.ts";

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
  readonly tab: Tab | undefined;
}

interface Waiting {
  readonly tab: Tab;
  readonly how: LockMode;
  got(): void;
  lost(): void;
}

/** How long a frame is under way to or from the server, and a message or a lock between tabs, in ms. */
const NETWORK = 20;
const BUS = 1;

/** One browser with any number of tabs, one server, one clock. */
export class World {
  clock = 1_790_000_000_000;
  readonly server = new TabServer(() => this.clock);
  readonly tabs: Tab[] = [];
  readonly shared = memoryStorage();
  readonly #timers = new Set<Timer>();
  readonly #soon: { readonly tab: Tab | undefined; readonly run: () => void }[] = [];
  readonly #channels = new Set<{ name: string; tab: Tab; on: (message: unknown) => void }>();
  readonly #locks = new Map<string, { holders: Waiting[]; queue: Waiting[] }>();
  #order = 0;
  #spin = 0;
  #seed: number;
  /** What a browser does to the sockets of a frozen page: lets their frames wait, or ends them at the thaw. */
  kills = true;
  /** All that was said on the channels, by kind. */
  readonly said: { readonly tab: Tab; readonly m: string }[] = [];
  /** Who took a lock from others, and when. */
  readonly steals: { readonly tab: Tab; readonly at: number }[] = [];
  tokens = 0;
  /** How long a message takes on a channel, in ms. */
  bus = BUS;

  constructor(seed = 1) {
    this.#seed = seed;
  }

  random(): number {
    this.#seed = (this.#seed * 16_807) % 2_147_483_647;
    return this.#seed / 2_147_483_647;
  }

  async open(options: OpenOptions = {}): Promise<Tab> {
    const tab = new Tab(this, options);
    this.tabs.push(tab);
    tab.client.connect();
    await this.settle();
    return tab;
  }

  /** Runs something every so often until the world ends, or it is told to stop. */
  every(ms: number, run: () => void): Cancel {
    let over = false;
    const next = (): void => {
      if (over) return;
      run();
      this.timer(next, ms);
    };
    this.timer(next, ms);
    return () => {
      over = true;
    };
  }

  /** The tabs that hold a lock or wait for one of this kind. */
  atLock(kind: string): Tab[] {
    return [...this.#locks]
      .filter(([name]) => name.endsWith(`:${kind}`))
      .flatMap(([, { holders, queue }]) => [...holders, ...queue])
      .map(({ tab }) => tab);
  }

  /** The tabs that have a channel open. */
  get onChannel(): Tab[] {
    return [...this.#channels].map(({ tab }) => tab);
  }

  get living(): Tab[] {
    return this.tabs.filter((tab) => !tab.closed);
  }

  timer(run: () => void, ms: number, tab?: Tab): Cancel {
    const timer = { at: this.clock + Math.max(0, ms), order: this.#order++, run, tab };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  soon(run: () => void, tab?: Tab): void {
    this.#soon.push({ tab, run });
  }

  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 12; quiet++) {
      await Promise.resolve();
      for (let next = this.#soon.shift(); next; next = this.#soon.shift()) {
        if (++this.#spin > 20_000) throw new Error("something spins");
        if (!next.tab?.closed) next.run();
        quiet = 0;
      }
    }
  }

  async advance(ms: number): Promise<void> {
    const end = this.clock + ms;
    await this.settle();
    for (;;) {
      let next: Timer | undefined;
      for (const t of this.#timers) {
        // A frozen page's timers wait for the thaw.
        if (t.at > end || t.tab?.frozen) continue;
        if (!next || t.at < next.at || (t.at === next.at && t.order < next.order)) next = t;
      }
      if (!next) break;
      this.#timers.delete(next);
      // Whatever spins would hang the test instead of failing it.
      if (next.at > this.clock) this.#spin = 0;
      if (++this.#spin > 5_000) throw new Error("something spins");
      this.clock = Math.max(this.clock, next.at);
      if (!next.tab?.closed) next.run();
      await this.settle();
    }
    this.clock = end;
  }

  siblings(tab: Tab): Siblings {
    return {
      usable: true,
      storage: this.shared,
      channel: (name, on) => {
        const channel = { name, tab, on };
        this.#channels.add(channel);
        const post = (message: unknown) => this.#post(channel, message);
        return { post, close: () => void this.#channels.delete(channel) };
      },
      lock: (name, how, on) => this.#lock(name, { tab, how, ...on }),
    };
  }

  /** A channel works in a frozen page too: what it is told is run. */
  #post(from: { name: string; tab: Tab }, message: unknown): void {
    const text = JSON.stringify(message);
    this.said.push({ tab: from.tab, m: (message as { m: string }).m });
    if (from.tab.deaf) return;
    for (const to of this.#channels) {
      if (to === from || to.name !== from.name) continue;
      this.timer(() => {
        if (this.#channels.has(to) && !to.tab.closed && !to.tab.deaf && !(to.tab.numb && from.tab !== to.tab))
          to.on(JSON.parse(text));
      }, this.bus);
    }
  }

  #lock(name: string, waiting: Waiting): Cancel {
    let lock = this.#locks.get(name);
    if (!lock) this.#locks.set(name, (lock = { holders: [], queue: [] }));
    if (waiting.how === "steal") {
      this.steals.push({ tab: waiting.tab, at: this.clock });
      for (const { tab, lost } of lock.holders) tab.later(lost);
      lock.holders = [];
      lock.queue.unshift(waiting);
    } else if (waiting.how === "try" && (lock.holders.length || lock.queue.length)) waiting.tab.later(waiting.lost);
    else lock.queue.push(waiting);
    this.#grant(name);
    return () => this.#unlock(name, waiting);
  }

  #unlock(name: string, waiting: Waiting): void {
    const lock = this.#locks.get(name);
    if (!lock) return;
    lock.queue = lock.queue.filter((other) => other !== waiting);
    lock.holders = lock.holders.filter((other) => other !== waiting);
    this.#grant(name);
  }

  #grant(name: string): void {
    const lock = this.#locks.get(name);
    const [next] = lock?.queue ?? [];
    if (!lock || !next || lock.holders.length) return;
    lock.queue.shift();
    lock.holders.push(next);
    next.tab.later(() => lock.holders.includes(next) && next.got());
    this.#grant(name);
  }

  /** All that a page held goes with it. */
  gone(tab: Tab): void {
    for (const channel of this.#channels) if (channel.tab === tab) this.#channels.delete(channel);
    for (const [name, lock] of this.#locks) {
      lock.queue = lock.queue.filter((waiting) => waiting.tab !== tab);
      lock.holders = lock.holders.filter((holder) => holder.tab !== tab);
      this.#grant(name);
    }
  }
}

export interface OpenOptions {
  readonly user?: string;
  readonly visible?: boolean;
  readonly sessions?: readonly string[];
  readonly options?: TabsOptions;
  readonly last?: number;
  /** What the application does when it is asked for a token. */
  readonly token?: () => string | Promise<string>;
}

class Socket implements Pipe {
  readonly conn: Conn;
  readonly #tab: Tab;
  readonly #held: (() => void)[] = [];
  dropped = false;

  constructor(tab: Tab, events: PipeEvents) {
    this.#tab = tab;
    const { world } = tab;
    const guarded: PipeEvents = {
      opened: () => this.#deliver(() => events.opened()),
      message: (text) => this.#deliver(() => events.message(text)),
      closed: (code, reason) => this.#deliver(() => events.closed(code, reason)),
    };
    // The network loses nothing on the way; a page that is gone or cut off hears nothing.
    this.conn = new Conn(guarded, (run) => world.timer(run, NETWORK));
    world.timer(() => {
      if (this.dropped) return;
      if (tab.closed || !world.server.up || tab.offline) return guarded.closed(1006, "");
      world.server.conns.add(this.conn);
      guarded.opened();
    }, NETWORK);
  }

  send(text: string): void {
    const { world } = this.#tab;
    world.timer(() => this.#tab.offline || world.server.hear(this.conn, text), NETWORK);
  }

  drop(): void {
    this.dropped = true;
    this.#tab.sockets.delete(this);
    this.#tab.world.timer(() => this.conn.gone(), NETWORK);
  }

  /** Reset, from the middle of the network. */
  cut(): void {
    this.conn.gone();
    this.#deliver(() => this.conn.events.closed(1006, ""));
  }

  thaw(kill: boolean): void {
    const held = this.#held.splice(0);
    if (!kill) for (const run of held) run();
    else this.cut();
  }

  #deliver(run: () => void): void {
    if (this.dropped || this.#tab.closed || this.#tab.offline) return;
    if (this.#tab.frozen) this.#held.push(run);
    else run();
  }
}

/** One page: the real client in a fake browser. */
export class Tab {
  readonly world: World;
  readonly client: Client;
  readonly chats: readonly Session[];
  readonly sockets = new Set<Socket>();
  closed = false;
  frozen = false;
  deaf = false;
  /** It speaks, and does not hear. */
  numb = false;
  offline = false;
  /** In the back/forward cache. */
  stored = false;
  visible: boolean;
  dials = 0;
  /** What the status was, each time that it changed. */
  readonly states: string[] = [];
  readonly #signals = new Set<(signal: PageSignal) => void>();
  readonly #stopped: (() => void)[] = [];

  constructor(world: World, opening: OpenOptions) {
    const { user = "anna", visible = true, sessions = ["chat"], options, last } = opening;
    this.world = world;
    this.visible = visible;
    this.client = new Client({
      url: "wss://host/v1/ws",
      token: opening.token ?? (() => tokenOf(user, ++world.tokens)),
      env: this.#env(),
      link: tabs({ ...options, siblings: world.siblings(this) }),
    });
    this.chats = sessions.map((id) => this.client.session(id, last === undefined ? {} : { last }));
    this.client.onStatus(({ state }) => this.states.push(state));
    for (const chat of this.chats) chat.subscribe(() => this.#check(chat));
  }

  get chat(): Session {
    const [chat] = this.chats;
    if (!chat) throw new Error("this tab reads nothing");
    return chat;
  }

  get data(): unknown[] {
    return this.chat.entries.map((e) => e.data);
  }

  get state(): string {
    return this.client.status.state;
  }

  show(): void {
    this.visible = true;
    this.thaw();
    this.signal("visible");
  }

  hide(): void {
    this.visible = false;
    this.signal("hidden");
  }

  freeze(): void {
    this.frozen = true;
  }

  thaw(): void {
    if (!this.frozen) return;
    this.frozen = false;
    for (const run of this.#stopped.splice(0)) this.world.soon(run, this);
    for (const socket of [...this.sockets]) socket.thaw(this.world.kills);
    this.signal("resumed");
  }

  /** Into the back/forward cache, and out of it. */
  store(): void {
    this.visible = false;
    this.stored = true;
    this.signal("stored");
    this.frozen = true;
  }

  restore(): void {
    this.visible = true;
    this.stored = false;
    this.thaw();
    this.signal("restored");
  }

  close(): void {
    this.signal("leaving");
    this.crash();
  }

  crash(): void {
    this.closed = true;
    for (const socket of [...this.sockets]) socket.conn.gone();
    this.world.gone(this);
  }

  cut(): void {
    for (const socket of [...this.sockets]) socket.cut();
  }

  signal(signal: PageSignal): void {
    if (this.closed) return;
    for (const on of [...this.#signals]) on(signal);
  }

  /** Runs something in the page, a moment later; in a frozen one, at its thaw. */
  later(run: () => void): void {
    this.world.timer(() => {
      if (this.closed) return;
      if (this.frozen) this.#stopped.push(run);
      else run();
    }, BUS);
  }

  /** What is shown is in order and without a hole, at all times. */
  #check(chat: Session): void {
    const offsets = chat.entries.filter((e) => e.kind === "message").map((e) => e.offset);
    const sorted = [...new Set(offsets)].sort((a, b) => a - b);
    if (JSON.stringify(sorted) !== JSON.stringify(offsets))
      throw new Error(`doubled or out of order: ${offsets.join()}`);
  }

  #env(): Env {
    const { world } = this;
    const storage = memoryStorage();
    return {
      now: () => world.clock,
      random: () => world.random(),
      timer: (run, ms) => world.timer(run, ms, this),
      soon: (run) => world.soon(run, this),
      open: (_, events) => {
        this.dials++;
        const socket = new Socket(this, events);
        this.sockets.add(socket);
        return socket;
      },
      fetch: () =>
        new Promise<FetchAnswer>((resolve, reject) => {
          world.timer(
            () => {
              if (this.offline || !world.server.up) reject(new TypeError("no network"));
              else resolve({ status: 204, text: "" });
            },
            2 * NETWORK,
            this,
          );
        }),
      signals: (on) => {
        this.#signals.add(on);
        return () => void this.#signals.delete(on);
      },
      visible: () => this.visible,
      mobile: false,
      storage,
      claim: () => Promise.resolve("held"),
    };
  }
}
