import { Connection } from "../connection.ts";
import { INITIAL } from "../connection-state.ts";
import type { State } from "../connection-types.ts";
import type { Cancel, Env, PageSignal } from "../env/env.ts";
import type { Siblings } from "../env/siblings.ts";
import { type Identity, randomName } from "../identity.ts";
import type { ConnectionStats, Link, LinkParts, OwnedFrame } from "../link.ts";
import type { ClientFrame } from "../wire.ts";
import { Bus } from "./bus.ts";
import { decide, isFresh, MOMENT } from "./election.ts";
import { Leadership, SharedIdentity } from "./leadership.ts";
import type { Call, Lease, Message } from "./messages.ts";
import { Roster } from "./roster.ts";
import { Seat } from "./seat.ts";
import { SharedToken } from "./shared-token.ts";
import { claimsOf } from "./user.ts";

const TICK = 1_000;
/** A leader that has not answered a join by then, in ms, does not hear, whatever its leases say. */
const JOIN_TIMEOUT = 500;
const RETEST = 10_000;
/** How long several tabs that might take over wait for each other at most, while the old leader still serves. */
const PATIENCE = 100;
/** How long a new connection may take to bring all up to date before it replaces one that works. */
const OVERLAP = 1_000;
/** After a sleep all tabs wake at once: what the leader has to say may come a moment later than one's own clock. */
const SLEPT = 2_500;
const GRACE = 300;

const NEVER = Number.POSITIVE_INFINITY;
const { memory } = INITIAL;
const CONNECTING: State = { name: "dialing", n: 0, since: 0, until: NEVER, gateAt: NEVER, memory };

/** All that there is while this tab is one of several: from connect, or the page's return, to its end. */
interface Membership {
  /** What all tabs of this server and user have in common is named after both, so that those of two users never meet. */
  readonly scope: string;
  readonly user: string;
  readonly bus: Bus;
  readonly roster: Roster;
  readonly seat: Seat;
  readonly token: SharedToken;
  /** When it was looked who leads, and whether anybody saw this tab then. */
  looked: { readonly at: number; readonly visible: boolean };
  stealAt: number;
}

/**
 * One tab among those of a browser: it follows the leader, or leads, or, where neither can be, has a connection of its own.
 * To the client above it looks the same each time: a connection that is attached, cut and attached again, with cursors.
 */
export class TabsLink implements Link {
  readonly #parts: LinkParts;
  readonly #env: Env;
  readonly #siblings: Siblings;
  readonly #givenUser: string | undefined;
  readonly #me: string;

  #wanted = false;
  #stopSignals: Cancel | undefined;
  /** Attempts to begin, so that one that was given up does nothing any more. */
  #beginnings = 0;
  #membership: Membership | undefined;
  /** A tab whose user is not known shares nothing: this is its connection. */
  #plain: Connection | undefined;

  /** When this tab took over from others. */
  #steals: readonly number[] = [];
  /** The connection that this tab has for all, and the one that it has for itself. */
  #led: Leadership | undefined;
  #solo: Leadership | undefined;
  #links = 0;
  #welcomedAt = 0;
  #posted: Lease | undefined;
  /** What this tab led, until its successor has said so or the moment is over. */
  #ghost: Lease | undefined;

  /** Whose frames this tab is given, and over which of its connections. */
  #feed: { readonly tab: string; readonly link: number } | undefined;
  #unanswered: Cancel | undefined;
  /** What this tab reads, and from how far back, for a connection to begin with. */
  readonly #reading = new Map<string, number | undefined>();

  constructor(parts: LinkParts, siblings: Siblings, user: string | undefined) {
    this.#parts = parts;
    this.#env = parts.env;
    this.#siblings = siblings;
    this.#givenUser = user;
    this.#me = randomName(parts.env);
  }

  get state(): State {
    if (this.#plain) return this.#plain.state;
    if (!this.#wanted) return { name: "idle", memory };
    return this.#shown?.state ?? CONNECTING;
  }

  get stats(): ConnectionStats {
    if (this.#plain) return this.#plain.stats;
    return this.#shown?.stats ?? { connection: "", user: "", dials: 0, welcomes: 0, received: 0, sent: 0, rtt: 0 };
  }

  get open(): boolean {
    return this.#plain ? this.#plain.open : this.#feed !== undefined;
  }

  connect(): void {
    this.#wanted = true;
    if (this.#plain) return this.#plain.connect();
    if (this.#membership) return this.#call("connect");
    this.#stopSignals ??= this.#env.signals((signal) => this.#signal(signal));
    void this.#begin();
    this.#parts.owner.changed();
  }

  disconnect(): void {
    this.#wanted = false;
    this.#plain?.disconnect();
    this.#end();
    this.#stopSignals?.();
    this.#stopSignals = undefined;
    this.#parts.owner.changed();
  }

  close(): void {
    this.disconnect();
  }

  retry(): void {
    if (this.#plain) this.#plain.retry();
    else this.#call("retry");
  }

  /** An answer is late: the leader looks after its connection, and what is unanswered is said to it again. */
  suspect(): void {
    if (this.#plain) return this.#plain.suspect();
    this.#call("suspect");
    const lease = this.#feed && this.#leaseOf(this.#feed.tab);
    if (lease?.welcome && lease.tab !== this.#me) this.#parts.owner.welcomed(lease.welcome);
  }

  send(frame: ClientFrame): void {
    if (this.#plain) return this.#plain.send(frame);
    if (frame.t === "sub") this.#reading.set(frame.s, frame.last);
    if (frame.t === "unsub") this.#reading.delete(frame.s);
    const client = this.#parts.identity.id;
    if (this.#feed) this.#say({ m: "up", tab: this.#me, to: this.#feed.tab, client, frame });
  }

  // Beginning and ending

  async #begin(): Promise<void> {
    const turn = ++this.#beginnings;
    const user = await this.#whoAmI();
    if (turn !== this.#beginnings) return;
    if (user === undefined) return this.#goPlain();
    const membership = this.#enter(user);
    this.#membership = membership;
    const kept = parse(this.#siblings.storage.get(`${membership.scope}:lease`));
    // Not the promise of an hour ago: only one that is still good.
    if (kept && isFresh(kept.at, this.#env.now())) membership.roster.set(kept);
    await membership.bus.test();
    this.#tick(membership);
  }

  #enter(user: string): Membership {
    const siblings = this.#siblings;
    const env = this.#env;
    const scope = `holdfast:${this.#parts.url}:${user}`;
    return {
      scope,
      user,
      bus: new Bus(siblings, env, scope, this.#me, (message) => this.#hear(message)),
      roster: new Roster(env),
      seat: new Seat(siblings, `${scope}:lead`, () => this.#evaluate()),
      token: new SharedToken({
        env,
        siblings,
        name: `${scope}:token`,
        own: this.#parts.token,
        came: (token, news) => this.#tokenCame(token, news, user),
      }),
      looked: { at: 0, visible: false },
      stealAt: 0,
    };
  }

  async #whoAmI(): Promise<string | undefined> {
    const { token } = this.#parts;
    if (this.#givenUser !== undefined) return this.#givenUser;
    try {
      const now = this.#env.now();
      return claimsOf(token.usable(now) ?? (await token.fetch(now)))?.user;
    } catch {
      // A connection of its own finds the same, and says so.
      return undefined;
    }
  }

  #tokenCame(token: string, news: boolean, user: string): void {
    if (this.#givenUser === undefined && claimsOf(token)?.user !== user) {
      this.#goPlain();
      throw new Error("the token is another user's");
    }
    if (news) this.#say({ m: "token", token });
  }

  #goPlain(): void {
    this.#end();
    this.#plain = new Connection(this.#parts);
    this.#plain.connect();
  }

  #end(): void {
    this.#beginnings++;
    const membership = this.#membership;
    if (!membership) return;
    if (this.#feed) this.#say({ m: "leave", tab: this.#me });
    this.#membership = this.#ghost = undefined;
    this.#cut();
    this.#resign(membership);
    this.#solo?.end();
    this.#solo = undefined;
    membership.seat.release();
    membership.bus.close();
  }

  #signal(signal: PageSignal): void {
    if (signal === "stored" || signal === "leaving") {
      // A page in the back/forward cache is thrown out of it by a message that it is sent, or by a lock that it holds.
      this.#end();
      return this.#parts.owner.changed();
    }
    const back = signal === "restored" || signal === "visible";
    if (back && !this.#membership && !this.#plain) return void this.#begin();
    if (signal === "hidden" || signal === "visible") this.#lease();
    this.#evaluate();
  }

  #tick(membership: Membership): void {
    if (membership !== this.#membership) return;
    const { bus } = membership;
    this.#lease();
    for (const one of [this.#led, this.#solo]) one?.hub.tick();
    if (bus.deaf && this.#env.now() - bus.testedAt > RETEST) void bus.test().then(() => this.#evaluate());
    this.#evaluate();
    this.#env.timer(() => this.#tick(membership), TICK);
  }

  // Who leads

  #evaluate(): void {
    const membership = this.#membership;
    if (!membership || membership.bus.testing) return;
    const { roster, seat, bus } = membership;
    const now = this.#env.now();
    const visible = this.#env.visible();
    this.#forgive(membership, now, visible);
    const leader = roster.incumbent;
    const verdict = decide({
      now,
      visible,
      deaf: bus.deaf,
      leading: this.#led !== undefined,
      granted: seat.granted,
      leader,
      vacant: roster.vacant,
      steals: this.#steals,
    });
    if (verdict === "lead" && !this.#led) this.#lead(membership);
    if (verdict === "steal") this.#stealSoon(membership, leader !== undefined && isFresh(leader.at, now));
    if (verdict === "alone" && !this.#solo) this.#goSolo();
    if (!this.#led) seat.queue(verdict === "wait" || (verdict === "follow" && visible));
    if (verdict === "wait" && visible) this.#later(MOMENT);
    this.#follow(membership);
  }

  /** A machine that slept finds every lease lapsed, also that of a leader that slept and woke with it. */
  #forgive(membership: Membership, now: number, visible: boolean): void {
    const { roster, looked } = membership;
    const leader = roster.incumbent;
    const slept = looked.visible && visible && now - looked.at >= SLEPT;
    membership.looked = { at: now, visible };
    if (!slept || !leader?.visible || !isFresh(leader.at, looked.at)) return;
    roster.set({ ...leader, at: now - SLEPT + GRACE });
    this.#later(GRACE + 1);
  }

  #later(ms: number): void {
    const membership = this.#membership;
    this.#env.timer(() => membership === this.#membership && this.#evaluate(), ms);
  }

  /** While the old leader still serves, there is time to see whether another tab is quicker. */
  #stealSoon(membership: Membership, served: boolean): void {
    const since = this.#env.now() - membership.stealAt;
    if (!served || (since >= 0 && since < TICK)) return this.#steal(membership);
    if (since < 0) return;
    const pause = this.#env.random() * PATIENCE;
    membership.stealAt = this.#env.now() + pause;
    this.#later(pause);
  }

  #steal(membership: Membership): void {
    const { bus } = membership;
    void bus.test().then(() => {
      if (membership !== this.#membership) return;
      if (!bus.deaf && !this.#led) {
        this.#steals = [...this.#steals.slice(-9), this.#env.now()];
        this.#lead(membership);
      }
      this.#evaluate();
    });
  }

  #lead({ scope, seat }: Membership): void {
    const { storage } = this.#siblings;
    const id = storage.get(`${scope}:client`) ?? randomName(this.#env);
    storage.set(`${scope}:client`, id);
    const identity = new SharedIdentity(this.#env, storage, `${scope}:`, id);
    identity.nextGeneration();
    seat.take();
    this.#led = this.#make(identity);
    this.#led.connection.connect();
    this.#lease();
  }

  #goSolo(): void {
    if (this.#led) return;
    this.#solo = this.#make(this.#parts.identity);
    this.#solo.connection.connect();
  }

  #make(identity: Identity): Leadership {
    const token = this.#membership?.token ?? this.#parts.token;
    const made: Leadership = new Leadership(this.#me, { ...this.#parts, token }, identity, {
      link: () => ++this.#links,
      tell: (frames, to) => this.#tell(made, frames, to),
      heard: () => {
        if (this.#env.now() - (this.#posted?.at ?? 0) >= TICK) this.#lease();
        if (this.#feed?.tab !== this.#me && made.hub.upToDate()) this.#evaluate();
      },
      changed: () => this.#changed(),
      superseded: () => this.#stepDown(),
      welcomed: ({ user }) => {
        // Not who the token says: the others must not see what this one may.
        if (made.shared && user !== this.#membership?.user) return this.#goPlain();
        this.#welcomedAt = this.#env.now();
        if (made.shared) this.#membership?.roster.forget(made.lease.epoch);
        this.#later(OVERLAP);
        this.#changed();
      },
    });
    const { owner } = this.#parts;
    if (!this.#feed) {
      this.#read(owner.attach());
      owner.cut();
    }
    for (const [s, last] of this.#reading) {
      made.hub.expect(this.#me, { s, ...(last !== undefined && { last }) }, owner.held?.(s));
    }
    return made;
  }

  #read(subs: readonly { readonly s: string; readonly last?: number }[]): void {
    this.#reading.clear();
    for (const { s, last } of subs) this.#reading.set(s, last);
  }

  #changed(): void {
    this.#lease();
    this.#evaluate();
    this.#parts.owner.changed();
  }

  /** Says that this tab leads, if it does, to all who hear and to those who come. */
  #lease(): void {
    const { lease } = this.#led ?? {};
    if (!lease) return;
    this.#posted = lease;
    this.#say(lease);
    this.#siblings.storage.set(`${this.#membership?.scope}:lease`, JSON.stringify(lease));
  }

  /**
   * Another one leads: the server has said so, or that one has. It is not told as an end, since it is none: everybody goes
   * over to the successor as soon as that says that it is connected, which it is about to.
   */
  #stepDown(): void {
    const led = this.#led;
    const membership = this.#membership;
    if (!led || !membership) return;
    this.#ghost = this.#feed?.tab === this.#me ? this.#posted : undefined;
    this.#led = undefined;
    led.end();
    membership.seat.release();
    membership.roster.vacant = this.#env.now();
    this.#env.timer(() => {
      this.#ghost = undefined;
      this.#evaluate();
    }, MOMENT);
    this.#evaluate();
    this.#parts.owner.changed();
  }

  #resign({ bus, scope }: Membership): void {
    const { storage } = this.#siblings;
    if (!this.#led) return;
    this.#led.end();
    this.#led = undefined;
    bus.post({ m: "resign", tab: this.#me });
    if (parse(storage.get(`${scope}:lease`))?.tab === this.#me) storage.set(`${scope}:lease`, null);
  }

  // Following

  /** The one of this tab's own connections that serves it. */
  get #own(): Leadership | undefined {
    return this.#led?.attached ? this.#led : (this.#solo ?? this.#led);
  }

  #leaseOf(tab: string): Lease | undefined {
    return tab === this.#me ? (this.#own?.lease ?? this.#ghost) : this.#membership?.roster.of(tab);
  }

  /** What the state of this tab is told by. */
  get #shown(): Lease | undefined {
    const feed = this.#feed && this.#leaseOf(this.#feed.tab);
    return feed ?? (this.#led ?? this.#solo)?.lease ?? this.#membership?.roster.best;
  }

  /** Takes its frames from whoever is best now. What works is left only for what works. */
  #follow(membership: Membership): void {
    const to = this.#choose(membership);
    const feed = this.#feed;
    if (!to && feed?.tab === this.#me && this.#ghost) return;
    if (to?.tab !== feed?.tab || to?.link !== feed?.link) {
      this.#ghost = undefined;
      this.#cut();
      if (to) this.#join(to);
    }
    this.#tidy(membership);
  }

  #choose({ roster, bus }: Membership): Lease | undefined {
    const { best } = roster;
    const alive = best && (!this.#env.visible() || isFresh(best.at, this.#env.now()));
    const theirs = alive && best.welcome && !bus.deaf ? best : undefined;
    const own = this.#own?.attached ? this.#own.lease : undefined;
    if (!theirs || (own && this.#led?.attached && own.epoch > theirs.epoch && this.#ready(this.#led))) return own;
    return theirs;
  }

  /** Where there is something that works, its successor has to be up to date first. */
  #ready(led: Leadership): boolean {
    if (!this.#feed || this.#feed.tab === this.#me || led.hub.upToDate()) return true;
    return this.#env.now() - this.#welcomedAt >= OVERLAP;
  }

  /** Ends what is not needed any more. */
  #tidy({ roster }: Membership): void {
    const { best } = roster;
    const led = this.#led;
    const above = led && best && isFresh(best.at, this.#env.now()) && best.epoch > led.lease.epoch;
    if (above && (best.welcome || !led.attached)) this.#stepDown();
    const served = this.#feed && (this.#feed.tab !== this.#me || this.#led?.attached);
    if (!served) return;
    this.#solo?.end();
    this.#solo = undefined;
  }

  #join({ tab, link, welcome }: Lease): void {
    const { owner } = this.#parts;
    this.#feed = { tab, link };
    const subs = owner.attach();
    this.#read(subs);
    this.#say({ m: "join", tab: this.#me, to: tab, subs });
    if (tab !== this.#me) {
      this.#unanswered = this.#env.timer(() => {
        this.#membership?.roster.mute(tab);
        this.#evaluate();
      }, JOIN_TIMEOUT);
    }
    if (welcome) owner.welcomed(welcome);
    owner.changed();
  }

  #answered(): void {
    this.#unanswered?.();
    this.#unanswered = undefined;
  }

  #cut(): void {
    this.#answered();
    if (!this.#feed) return;
    this.#feed = undefined;
    this.#parts.owner.cut();
    this.#parts.owner.changed();
  }

  // What tabs say to each other

  #say(message: Message): void {
    if ("to" in message && message.to === this.#me) this.#hear(message);
    else this.#membership?.bus.post(message);
  }

  #tell(from: Leadership, frames: readonly OwnedFrame[], to?: string): void {
    const mine = to === this.#me || (to === undefined && this.#feed?.tab === this.#me && from === this.#own);
    if (mine) this.#down(frames);
    if (to === this.#me || !from.shared || !from.hub.serves(this.#me)) return;
    this.#membership?.bus.post({ m: "down", tab: this.#me, frames, ...(to !== undefined && { to }) });
  }

  #hear(message: Message): void {
    const membership = this.#membership;
    if (!membership) return;
    switch (message.m) {
      case "lease":
        return this.#heardLease(membership, message);
      case "resign":
        membership.roster.gone(message.tab);
        return this.#evaluate();
      case "leave":
        return this.#led?.hub.leave(message.tab);
      case "down":
        if (message.tab === this.#feed?.tab && (message.to ?? this.#me) === this.#me) this.#down(message.frames);
        return;
      case "token":
        return membership.token.hear(message.token);
      case "join":
      case "up":
      case "call":
        if (message.to === this.#me) this.#serve(message);
    }
  }

  #heardLease({ roster, user }: Membership, lease: Lease): void {
    // A tab of another user, who signed in where the name is the same.
    if (lease.welcome && lease.welcome.user !== user) return;
    roster.set(lease);
    this.#evaluate();
    if (lease.tab === this.#feed?.tab || !this.#feed) this.#parts.owner.changed();
  }

  #serve(message: Extract<Message, { m: "join" | "up" | "call" }>): void {
    // What others ask is for the connection that is theirs too.
    const at = message.tab === this.#me ? this.#own : this.#led;
    if (message.m === "join") at?.hub.join(message.tab, message.subs);
    else if (message.m === "up") at?.hub.up(message.tab, message.client, message.frame);
    else at?.connection[message.call]();
  }

  #down(frames: readonly OwnedFrame[]): void {
    this.#answered();
    const { owner, identity } = this.#parts;
    for (const frame of frames) {
      // Nobody is told his own signals.
      if (frame.t !== "signal" || frame.c !== identity.id) owner.frame(frame);
    }
  }

  #call(call: Call): void {
    const to = this.#shown?.tab;
    if (to !== undefined) this.#say({ m: "call", tab: this.#me, to, call });
    this.#evaluate();
  }
}

function parse(text: string | null): Lease | undefined {
  try {
    return (JSON.parse(text ?? "null") as Lease | null) ?? undefined;
  } catch {
    return undefined;
  }
}
