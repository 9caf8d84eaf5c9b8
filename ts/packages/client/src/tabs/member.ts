import type { Cancel, Env } from "../env/env.ts";
import type { Siblings } from "../env/siblings.ts";
import { type Identity, randomName } from "../identity.ts";
import type { LinkParts, OwnedFrame } from "../link.ts";
import type { Act, ClientFrame } from "../wire.ts";
import { Bus } from "./bus.ts";
import { decide, isFresh, MOMENT } from "./election.ts";
import { Leadership, SharedIdentity } from "./leadership.ts";
import type { Call, Lease, Message } from "./messages.ts";
import { Roster } from "./roster.ts";
import { Seat } from "./seat.ts";
import { SharedToken } from "./shared-token.ts";
import { Unsettled } from "./unsettled.ts";

const TICK = 1_000;
/** A leader that has not answered a join by then, in ms, does not hear, whatever its leases say. */
const JOIN_TIMEOUT = 500;
const RETEST = 10_000;
/** How long several tabs that might take over wait for each other at most, while the old leader still serves. */
const PATIENCE = 100;
/** After a sleep all tabs wake at once: what the leader has to say may come a moment later than one's own clock. */
const SLEPT = 2_500;
const GRACE = 300;

export interface MemberOwner {
  /** The server knows this tab as somebody else than its token says: it must not share anything. */
  stranger(): void;
  /** A token has come: throws where it is another user's. */
  token(token: string): void;
}

/**
 * One tab among those of a browser, of one server and one user, from its coming to its going: it follows the leader, or
 * leads, or, where neither can be, has a connection of its own.
 */
export class Member {
  readonly #parts: LinkParts;
  readonly #env: Env;
  readonly #siblings: Siblings;
  readonly #user: string;
  readonly #owner: MemberOwner;
  readonly #me: string;
  /** What the user has done, until a connection has come of it: this tab's, or another's that was there. */
  #act: Act | undefined;
  /** When this tab took over from others. */
  readonly #steals: number[];

  /** What all tabs of this server and user have in common is named after both, so that those of two users never meet. */
  readonly #scope: string;
  readonly #bus: Bus;
  readonly #roster: Roster;
  readonly #seat: Seat;
  readonly #token: SharedToken;
  #over = false;
  /** When it was looked who leads, and whether anybody saw this tab then. */
  #looked = { at: 0, visible: false };
  #stealAt = 0;

  /** The connection that this tab has for all, and the one that it has for itself. */
  #led: Leadership | undefined;
  #solo: Leadership | undefined;
  #links = 0;
  #posted: Lease | undefined;
  /** What this tab led, until its successor has said so or the moment is over. */
  #ghost: Lease | undefined;

  /** Whose frames this tab is given, and over which of its connections. */
  #feed: { readonly tab: string; readonly link: number } | undefined;
  #unanswered: Cancel | undefined;
  /** The number of the last message that was heard of the leader. */
  #heard: number | undefined;
  readonly #unsettled = new Unsettled();
  /** What this tab reads, and from how far back, for a connection to begin with. */
  readonly #reading = new Map<string, number | undefined>();

  constructor(
    parts: LinkParts,
    siblings: Siblings,
    user: string,
    steals: number[],
    act: Act | undefined,
    owner: MemberOwner,
  ) {
    this.#act = act;
    const { env, url } = parts;
    this.#parts = parts;
    this.#env = env;
    this.#siblings = siblings;
    this.#user = user;
    this.#owner = owner;
    this.#steals = steals;
    // Another name each time: what was said to the one before does not concern this one.
    this.#me = randomName(env);
    this.#scope = `holdfast:${url}:${user}`;
    this.#bus = new Bus(siblings, env, this.#scope, this.#me, (message) => this.#hear(message));
    this.#roster = new Roster(env);
    this.#seat = new Seat(siblings, `${this.#scope}:lead`, () => this.#evaluate());
    const came = (token: string) => {
      owner.token(token);
      if (this.#led?.attached) this.#say({ m: "token", token });
    };
    this.#token = new SharedToken({ env, siblings, name: `${this.#scope}:token`, own: parts.token, came });
    const kept = parse(siblings.storage.get(`${this.#scope}:lease`));
    // Not the promise of an hour ago: only one that is still good.
    if (kept && isFresh(kept.at, env.now())) this.#roster.set(kept);
    void this.#bus.test().then(() => this.#tick());
  }

  /** Whether frames can be sent. */
  get open(): boolean {
    return this.#feed !== undefined;
  }

  send(frame: ClientFrame): void {
    if (frame.t === "sub") this.#reading.set(frame.s, frame.last);
    if (frame.t === "unsub") this.#reading.delete(frame.s);
    this.#unsettled.asked(frame, this.#env.now());
    this.#up(frame);
  }

  /** Somebody looks at this tab, or does not any more; or something else has happened that may matter. */
  look(): void {
    this.#lease();
    this.#evaluate();
  }

  /** Leaves, and leaves nothing behind: the others go on without it. */
  end(): void {
    if (this.#feed) this.#say({ m: "leave", tab: this.#me });
    this.#over = true;
    this.#ghost = undefined;
    this.#cut();
    this.#resign();
    this.#solo?.end();
    this.#solo = undefined;
    this.#seat.release();
    this.#bus.close();
  }

  #tick(): void {
    if (this.#over) return;
    const bus = this.#bus;
    this.#lease();
    for (const one of [this.#led, this.#solo]) one?.hub.tick();
    for (const frame of this.#unsettled.due(this.#env.now())) this.#up(frame);
    if (bus.deaf && this.#env.now() - bus.testedAt > RETEST) void bus.test().then(() => this.#evaluate());
    this.#evaluate();
    this.#env.timer(() => this.#tick(), TICK);
  }

  // Who leads

  #evaluate(): void {
    const [roster, seat, bus] = [this.#roster, this.#seat, this.#bus];
    if (this.#over || bus.testing) return;
    const now = this.#env.now();
    const visible = this.#env.visible();
    this.#forgive(now, visible);
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
    if (verdict === "lead" && !this.#led) this.#lead();
    if (verdict === "steal") this.#stealSoon(leader !== undefined && isFresh(leader.at, now));
    if (verdict === "alone" && !this.#solo) this.#goSolo();
    if (!this.#led) seat.queue(verdict === "wait" || (verdict === "follow" && visible));
    if (verdict === "wait" && visible) this.#later(MOMENT);
    this.#follow();
  }

  /** A machine that slept finds every lease lapsed, also that of a leader that slept and woke with it. */
  #forgive(now: number, visible: boolean): void {
    const [roster, looked] = [this.#roster, this.#looked];
    const leader = roster.incumbent;
    const slept = looked.visible && visible && now - looked.at >= SLEPT;
    this.#looked = { at: now, visible };
    if (!slept || !leader?.visible || !isFresh(leader.at, looked.at)) return;
    roster.set({ ...leader, at: now - SLEPT + GRACE });
    this.#later(GRACE + 1);
  }

  #later(ms: number): void {
    this.#env.timer(() => this.#evaluate(), ms);
  }

  /** While the old leader still serves, there is time to see whether another tab is quicker. */
  #stealSoon(served: boolean): void {
    const since = this.#env.now() - this.#stealAt;
    if (!served || (since >= 0 && since < TICK)) return this.#steal();
    if (since < 0) return;
    const pause = this.#env.random() * PATIENCE;
    this.#stealAt = this.#env.now() + pause;
    this.#later(pause);
  }

  #steal(): void {
    const bus = this.#bus;
    void bus.test().then(() => {
      if (this.#over) return;
      if (!bus.deaf && !this.#led) {
        this.#steals.push(this.#env.now());
        this.#lead();
      }
      this.#evaluate();
    });
  }

  #lead(): void {
    const { storage } = this.#siblings;
    const scope = this.#scope;
    const id = storage.get(`${scope}:client`) ?? randomName(this.#env);
    storage.set(`${scope}:client`, id);
    const identity = new SharedIdentity(this.#env, storage, `${scope}:`, id);
    identity.nextGeneration();
    this.#seat.take();
    this.#led = this.#make(identity);
    this.#led.connection.connect(this.#act);
    this.#lease();
  }

  #goSolo(): void {
    if (this.#led) return;
    this.#solo = this.#make(this.#parts.identity);
    this.#solo.connection.connect(this.#act);
  }

  #make(identity: Identity): Leadership {
    const made: Leadership = new Leadership(this.#me, { ...this.#parts, token: this.#token }, identity, {
      link: () => ++this.#links,
      tell: (frames, to) => this.#tell(made, frames, to),
      heard: () => {
        if (this.#env.now() - (this.#posted?.at ?? 0) >= TICK) this.#lease();
      },
      changed: () => this.#changed(),
      superseded: () => this.#stepDown(),
      welcomed: ({ user }) => {
        // Not who the token says: the others must not see what this one may.
        if (made.shared && user !== this.#user) return this.#owner.stranger();
        if (made.shared) this.#roster.forget(made.lease.epoch);
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
    this.#siblings.storage.set(`${this.#scope}:lease`, JSON.stringify(lease));
  }

  /**
   * Another one leads: the server has said so, or that one has. It is not told as an end, since it is none: everybody goes
   * over to the successor as soon as that says that it is connected, which it is about to.
   */
  #stepDown(): void {
    const led = this.#led;
    if (!led) return;
    this.#ghost = this.#feed?.tab === this.#me ? this.#posted : undefined;
    this.#led = undefined;
    led.end();
    this.#seat.release();
    this.#roster.vacant = this.#env.now();
    this.#env.timer(() => {
      this.#ghost = undefined;
      this.#evaluate();
    }, MOMENT);
    this.#evaluate();
    this.#parts.owner.changed();
  }

  #resign(): void {
    const { storage } = this.#siblings;
    const scope = this.#scope;
    if (!this.#led) return;
    this.#led.end();
    this.#led = undefined;
    this.#bus.post({ m: "resign", tab: this.#me });
    if (parse(storage.get(`${scope}:lease`))?.tab === this.#me) storage.set(`${scope}:lease`, null);
  }

  // Following

  /** The one of this tab's own connections that serves it. */
  get #own(): Leadership | undefined {
    return this.#led?.attached ? this.#led : (this.#solo ?? this.#led);
  }

  #leaseOf(tab: string): Lease | undefined {
    return tab === this.#me ? (this.#own?.lease ?? this.#ghost) : this.#roster.of(tab);
  }

  /** What the state of this tab is told by. */
  get shown(): Lease | undefined {
    const feed = this.#feed && this.#leaseOf(this.#feed.tab);
    return feed ?? (this.#led ?? this.#solo)?.lease ?? this.#roster.best;
  }

  /** Takes its frames from whoever is best now. What works is left only for what works. */
  #follow(): void {
    const to = this.#choose();
    const feed = this.#feed;
    if (!to && feed?.tab === this.#me && this.#ghost) return;
    if (to?.tab !== feed?.tab || to?.link !== feed?.link) {
      this.#ghost = undefined;
      this.#cut();
      if (to) this.#join(to);
    }
    this.#tidy();
  }

  #choose(): Lease | undefined {
    const { best } = this.#roster;
    const alive = best && (!this.#env.visible() || isFresh(best.at, this.#env.now()));
    const theirs = alive && best.welcome && !this.#bus.deaf ? best : undefined;
    const own = this.#own?.attached ? this.#own.lease : undefined;
    if (!theirs || (own && this.#led?.attached && own.epoch > theirs.epoch)) return own;
    return theirs;
  }

  /** Ends what is not needed any more. */
  #tidy(): void {
    const { best } = this.#roster;
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
    this.#act = undefined;
    this.#heard = undefined;
    const subs = owner.attach();
    this.#read(subs);
    this.#say({ m: "join", tab: this.#me, to: tab, subs });
    if (tab !== this.#me) {
      this.#unanswered = this.#env.timer(() => {
        this.#roster.mute(tab);
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
    // What has to be said again after that, those above say again.
    this.#unsettled.clear();
    if (!this.#feed) return;
    this.#feed = undefined;
    this.#parts.owner.cut();
    this.#parts.owner.changed();
  }

  // What tabs say to each other

  #up(frame: ClientFrame): void {
    const client = this.#parts.identity.id;
    if (this.#feed) this.#say({ m: "up", tab: this.#me, to: this.#feed.tab, client, frame });
  }

  #say(message: Message): void {
    if ("to" in message && message.to === this.#me) this.#hear(message);
    else this.#bus.post(message);
  }

  #tell(from: Leadership, frames: readonly OwnedFrame[], to?: string): void {
    const mine = to === this.#me || (to === undefined && this.#feed?.tab === this.#me && from === this.#own);
    if (mine) this.#down(frames);
    if (to === this.#me || !from.shared || !from.hub.serves(this.#me)) return;
    this.#bus.post({ m: "down", tab: this.#me, n: ++from.told, frames, ...(to !== undefined && { to }) });
  }

  #hear(message: Message): void {
    if (this.#over) return;
    switch (message.m) {
      case "lease":
        return this.#heardLease(message);
      case "resign":
        this.#roster.gone(message.tab);
        return this.#evaluate();
      case "leave":
        return this.#led?.hub.leave(message.tab);
      case "down":
        if (message.tab !== this.#feed?.tab || this.#missed(message.n - 1, message.n)) return;
        // What is told to all is no sign that this tab was heard.
        if (message.to === this.#me) this.#answered();
        return (message.to ?? this.#me) === this.#me ? this.#down(message.frames) : undefined;
      case "token":
        return this.#token.hear(message.token);
      case "join":
      case "up":
      case "call":
        if (message.to === this.#me) this.#serve(message);
    }
  }

  #heardLease(lease: Lease): void {
    // A tab of another user, who signed in where the name is the same.
    if (lease.welcome && lease.welcome.user !== this.#user) return;
    this.#roster.set(lease);
    if (lease.tab === this.#feed?.tab) this.#missed(lease.told, lease.told);
    this.#evaluate();
    if (lease.tab === this.#feed?.tab || !this.#feed) this.#parts.owner.changed();
  }

  /** After `before` comes `now`. If it was not `before` that was heard last, this tab begins anew, with its cursors. */
  #missed(before: number, now: number): boolean {
    const missed = this.#heard !== undefined && this.#heard !== before;
    this.#heard = now;
    if (missed) this.#cut();
    if (missed) this.#evaluate();
    return missed;
  }

  #serve(message: Extract<Message, { m: "join" | "up" | "call" }>): void {
    // It may have to take over one day, and should not have to ask for a token first.
    if (message.m === "join" && message.tab !== this.#me) this.#say({ m: "token", token: this.#token.value });
    // What others ask is for the connection that is theirs too.
    const at = message.tab === this.#me ? this.#own : this.#led;
    if (message.m === "join") at?.hub.join(message.tab, message.subs);
    else if (message.m === "up") at?.hub.up(message.tab, message.client, message.frame);
    else if (message.call === "retry" || message.call === "suspect") at?.connection[message.call]();
    else at?.connection.connect(message.call);
  }

  #down(frames: readonly OwnedFrame[]): void {
    const { owner, identity } = this.#parts;
    for (const frame of frames) {
      this.#unsettled.answered(frame);
      // Nobody is told his own signals.
      if (frame.t !== "signal" || frame.c !== identity.id) owner.frame(frame);
    }
  }

  call(call: Call): void {
    const to = this.shown?.tab;
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
