import type { Cancel, Env } from "../env/env.ts";
import type { Siblings } from "../env/siblings.ts";
import { randomName } from "../identity.ts";
import type { LinkParts, OwnedFrame } from "../link.ts";
import type { Act, ClientFrame } from "../wire.ts";
import { Bus } from "./bus.ts";
import { decide, isFresh, MOMENT } from "./election.ts";
import { isDialing, keepLease, keptLease } from "./kept-lease.ts";
import { Leadership, SharedIdentity } from "./leadership.ts";
import type { Call, Lease, Message } from "./messages.ts";
import { Reading } from "./reading.ts";
import { Roster } from "./roster.ts";
import { Seat } from "./seat.ts";
import { SharedToken } from "./shared-token.ts";

const TICK = 1_000;
/** How often a tab that is seen looks whether the leader has crashed, in ms. */
const TRY = 125;
/** A leader that has not answered a join by then, in ms, does not hear, whatever its leases say. */
const JOIN_TIMEOUT = 500;
/** How long several tabs that might take over wait for each other at most, while the old leader still serves. */
const PATIENCE = 100;
/** After a sleep all tabs wake at once: what the leader has to say may come a moment later than one's own clock. */
const SLEPT = 2_500;
const GRACE = 300;

export interface MemberOwner {
  /** What the user has done to have this tab connect, until it is fed. */
  act(): Act | undefined;
  /** This tab has whom to take its frames from. */
  fed(): void;
  /**
   * It needs a connection of its own: for now, since nobody hears it or it may not take over where it would have to; for
   * good, since the server knows it as somebody else than its token says, and it must not share anything.
   */
  alone(forGood: boolean): void;
  /** A token has come: throws where it is another user's. */
  token(token: string): void;
}

/**
 * One tab among those of a browser, of one server and one user, from its coming to its going: it follows the leader, or
 * leads.
 */
export class Member {
  readonly #parts: LinkParts;
  readonly #env: Env;
  readonly #siblings: Siblings;
  readonly #user: string;
  readonly #owner: MemberOwner;
  readonly #me: string;
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
  #wokeAt = 0;
  #stealAt = 0;
  #trying: Cancel | undefined;

  /** This tab's own lock, by which a leader learns of its end. */
  readonly #alive: Cancel;

  /** The connection that this tab has for all. */
  #led: Leadership | undefined;
  #links = 0;
  #posted: Lease | undefined;
  /** What this tab led, until its successor has said so or the moment is over. */
  #ghost: Lease | undefined;

  /** Whose frames this tab is given, over which of its connections, and what it was told of this tab's being seen. */
  #feed: { readonly tab: string; readonly link: number; seen: boolean } | undefined;
  #unanswered: Cancel | undefined;
  /** The number of the last message that was heard of the leader. */
  #heard: number | undefined;
  readonly #reading = new Reading();

  constructor(parts: LinkParts, siblings: Siblings, user: string, steals: number[], owner: MemberOwner) {
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
    this.#seat = new Seat(siblings, `${this.#scope}:lead`, () => this.#inherit());
    const came = (token: string) => {
      owner.token(token);
      if (this.#led?.welcome) this.#say({ m: "token", token });
    };
    this.#token = new SharedToken({ env, siblings, name: `${this.#scope}:token`, own: parts.token, came });
    const kept = keptLease(siblings.storage, this.#scope);
    // Not the promise of an hour ago: only one that is still good.
    if (kept && isFresh(kept.at, env.now())) this.#roster.set(kept);
    // The lock first: a leader that finds it free would take this tab for gone.
    let ready = () => {};
    const living = new Promise<void>((resolve) => (ready = resolve));
    this.#alive = siblings.lock(`${this.#scope}:${this.#me}`, "wait", { got: ready, lost: () => {} });
    void Promise.all([living, this.#bus.test()]).then(() => this.#tick());
  }

  /** Whether frames can be sent. */
  get open(): boolean {
    return this.#feed !== undefined;
  }

  send(frame: ClientFrame): void {
    this.#reading.said(frame);
    const client = this.#parts.identity.id;
    const feed = this.#feed;
    if (feed) this.#say({ m: "up", tab: this.#me, to: feed.tab, link: feed.link, client, frame });
  }

  /** Somebody looks at this tab, or does not any more; or something else has happened that may matter. */
  look(): void {
    this.#lease();
    const feed = this.#feed;
    const seen = this.#env.visible();
    if (feed && feed.seen !== seen) this.#call(feed.tab, (feed.seen = seen) ? "seen" : "unseen");
    this.#evaluate();
  }

  /** Leaves, and leaves nothing behind: the others go on without it. */
  end(): void {
    if (this.#feed) this.#call(this.#feed.tab, "leave");
    this.#over = true;
    this.#ghost = undefined;
    this.#cut();
    this.#seat.release();
    this.#resign();
    this.#token.end();
    this.#alive();
    this.#bus.close();
  }

  #tick(): void {
    if (this.#over) return;
    this.#lease();
    this.#led?.hub.tick();
    this.#evaluate();
    this.#env.timer(() => this.#tick(), TICK);
  }

  // Who leads

  #evaluate(): void {
    const roster = this.#roster;
    const seat = this.#seat;
    if (this.#over || this.#bus.testing) return;
    const [now, visible, looked] = [this.#env.now(), this.#env.visible(), this.#looked];
    const appeared = visible && !looked.visible;
    this.#looked = { at: now, visible };
    // After a sleep every lease has lapsed, also that of a leader that wakes with this tab, and has yet to say so.
    if (!appeared && visible && now - looked.at >= SLEPT) {
      this.#wokeAt = now;
      this.#later(GRACE);
    }
    if (Math.abs(now - this.#wokeAt) < GRACE) return;
    const leader = roster.incumbent;
    const verdict = decide({
      now,
      visible,
      deaf: this.#bus.deaf,
      leading: this.#led !== undefined,
      granted: seat.granted,
      leader,
      vacant: roster.vacant,
      resigned: roster.resigned,
      steals: this.#steals,
    });
    if (verdict === "lead" && !this.#led) this.#lead();
    if (verdict === "alone") return this.#owner.alone(false);
    // Several tabs that are seen may find the same; one that has just been shown is the only one.
    // A leader that was sent away comes back only for what a user does, and he may have done that here: signed in, and loaded
    // the page. It is worth one try: two who are refused would take turns for ever.
    const act = !this.#posted && visible && leader?.state.name === "ended" && this.#owner.act();
    if (verdict === "steal" || act) this.#stealSoon(!appeared && (leader ? isFresh(leader.at, now) : roster.resigned));
    if (this.#led) seat.try();
    else seat.queue(verdict === "wait");
    if (!this.#led && verdict === "follow" && visible && leader) this.#try();
    if (!leader && now - roster.vacant < MOMENT) this.#later(MOMENT);
    this.#follow();
  }

  /** The lock was free: whoever led is gone, and may have had no time to say so. */
  #inherit(): void {
    const { incumbent } = this.#roster;
    if (!this.#led && incumbent) {
      this.#roster.gone(incumbent.tab);
      this.#bus.post({ m: "resign", tab: incumbent.tab });
    }
    this.#evaluate();
  }

  /** The lock is free if the leader has crashed. It is not waited for: see LOOK of hub.ts. */
  #try(): void {
    this.#seat.try();
    this.#trying ??= this.#env.timer(() => {
      this.#trying = undefined;
      this.#evaluate();
    }, TRY);
  }

  #later(ms: number): void {
    this.#env.timer(() => this.#evaluate(), ms);
  }

  /** While the old leader still serves, there is time to see whether another tab is quicker. */
  #stealSoon(patient: boolean): void {
    const since = this.#env.now() - this.#stealAt;
    if (!patient || (since >= 0 && since < TICK)) return this.#steal();
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
    // A page on its way to the back/forward cache has given the lock back, but the browser may not know it yet. To take it from
    // that page would throw it out; it is free in a moment.
    if (this.#roster.resigned) this.#seat.try();
    else this.#seat.take();
    this.#led = this.#make(identity);
    this.#led.connection.connect(this.#owner.act());
    this.#lease();
  }

  #make(identity: SharedIdentity): Leadership {
    const made: Leadership = new Leadership({ ...this.#parts, token: this.#token }, identity, {
      tab: this.#me,
      link: () => ++this.#links,
      here: (frame) => this.#feed?.tab === this.#me && this.#down([frame]),
      tell: (frames, to) => {
        const n = to === undefined ? ++made.told : made.told;
        this.#say({ m: "down", tab: this.#me, n, frames, ...(to !== undefined && { to }) });
      },
      gone: (tab, run) => {
        const got = () => {
          release();
          run();
        };
        const release = this.#siblings.lock(`${this.#scope}:${tab}`, "try", { got, lost: () => {} });
      },
      heard: () => {
        if (this.#env.now() - (this.#posted?.at ?? 0) >= TICK) this.#lease();
      },
      changed: () => this.#changed(),
      superseded: () => this.#stepDown(),
      welcomed: ({ user }) => {
        // Not who the token says: the others must not see what this one may.
        if (user !== this.#user) return this.#owner.alone(true);
        this.#changed();
      },
    });
    const { owner } = this.#parts;
    if (!this.#feed) {
      this.#reading.begin(owner.attach());
      owner.cut();
    }
    for (const wanted of this.#reading.all) made.hub.expect(this.#me, wanted, owner.held?.(wanted.s));
    return made;
  }

  #changed(): void {
    this.#lease();
    this.#evaluate();
    this.#parts.owner.changed();
  }

  /** Says that this tab leads, if it does, to all who hear and to those who come. */
  #lease(): void {
    const lease = this.#led?.lease;
    if (!lease) return;
    const last = this.#posted;
    const same = last && isDialing(last) && isDialing(lease) && last.visible === lease.visible;
    if (same && lease.at - last.at < TICK / 2) return;
    this.#posted = lease;
    this.#say(lease);
    keepLease(this.#siblings.storage, this.#scope, lease);
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
    if (keptLease(storage, scope)?.tab === this.#me) keepLease(storage, scope);
  }

  // Following

  #leaseOf(tab: string): Lease | undefined {
    return tab === this.#me ? (this.#led?.lease ?? this.#ghost) : this.#roster.of(tab);
  }

  /** What the state of this tab is told by. */
  get shown(): Lease | undefined {
    const feed = this.#feed && this.#leaseOf(this.#feed.tab);
    return feed ?? this.#led?.lease ?? this.#roster.best;
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
    this.#yield();
  }

  #choose(): Lease | undefined {
    const { best } = this.#roster;
    const alive = best && (!this.#env.visible() || isFresh(best.at, this.#env.now()));
    const theirs = alive && best.welcome && !this.#bus.deaf ? best : undefined;
    const { welcome } = this.#led ?? {};
    const own = this.#led && welcome && { ...this.#led.lease, welcome };
    if (!theirs || (own && own.epoch > theirs.epoch)) return own;
    return theirs;
  }

  /** Gives the lead up to whom the server has let in after this one. */
  #yield(): void {
    const { best } = this.#roster;
    const led = this.#led;
    const above = led && best && isFresh(best.at, this.#env.now()) && best.epoch > led.lease.epoch;
    if (above && (best.welcome || !led.welcome)) this.#stepDown();
  }

  #join({ tab, link, welcome }: Lease): void {
    const { owner } = this.#parts;
    this.#owner.fed();
    const visible = this.#env.visible();
    this.#feed = { tab, link, seen: visible };
    this.#heard = undefined;
    const subs = owner.attach();
    this.#reading.begin(subs);
    this.#say({ m: "join", tab: this.#me, to: tab, visible, token: this.#token.known, subs });
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
    if (!this.#feed) return;
    this.#feed = undefined;
    this.#parts.owner.cut();
    this.#parts.owner.changed();
  }

  // What tabs say to each other

  #call(to: string, call: Call): void {
    this.#say({ m: "call", tab: this.#me, to, call });
  }

  #say(message: Message): void {
    if ("to" in message && message.to === this.#me) this.#hear(message);
    else this.#bus.post(message);
  }

  #hear(message: Message): void {
    if (this.#over) return;
    switch (message.m) {
      case "lease":
        return this.#heardLease(message);
      case "resign":
        this.#roster.gone(message.tab);
        return this.#evaluate();
      case "down":
        if (message.tab !== this.#feed?.tab) return;
        // What is told to all is no sign that this tab was heard.
        if (message.to !== undefined) this.#answered();
        else if (this.#missed(message.n - 1)) return;
        this.#heard = message.n;
        return this.#down(message.frames);
      case "token":
        return this.#token.hear(message.token);
      case "join":
      case "up":
      case "call":
        this.#serve(message);
    }
  }

  #heardLease(lease: Lease): void {
    // A tab of another user, who signed in where the name is the same.
    if (lease.welcome && lease.welcome.user !== this.#user) return;
    this.#roster.set(lease);
    if (lease.tab === this.#feed?.tab) this.#missed(lease.told);
    this.#evaluate();
    if (lease.tab === this.#feed?.tab || !this.#feed) this.#parts.owner.changed();
  }

  /** Whether what all were told was not all heard, up to this number. Then this tab begins anew, with its cursors. */
  #missed(told: number): boolean {
    const missed = this.#heard !== undefined && told > this.#heard;
    if (missed) this.#cut();
    if (missed) this.#evaluate();
    return missed;
  }

  #serve(message: Extract<Message, { m: "join" | "up" | "call" }>): void {
    // It may have to take over one day, and should not have to ask for a token first.
    if (message.m === "join" && !message.token) this.#say({ m: "token", to: message.tab, token: this.#token.value });
    const led = this.#led;
    if (message.m === "join") led?.hub.join(message.tab, message.subs, message.visible);
    else if (message.m === "up") message.link === led?.link && led.hub.up(message.tab, message.client, message.frame);
    else if (message.call === "leave") led?.hub.leave(message.tab);
    else if (message.call === "seen" || message.call === "unseen") led?.hub.see(message.tab, message.call === "seen");
    else if (message.call === "retry" || message.call === "suspect") led?.connection[message.call]();
    else led?.connection.connect(message.call);
  }

  #down(frames: readonly OwnedFrame[]): void {
    const { owner, identity } = this.#parts;
    for (const frame of frames) {
      // Nobody is told his own signals.
      if (frame.t !== "signal" || frame.c !== identity.id) owner.frame(frame);
    }
  }

  /** Asks something of the connection, whoever has it. */
  call(call: Act | "retry" | "suspect"): void {
    const to = this.shown?.tab;
    if (to !== undefined) this.#call(to, call);
    // An answer that does not come may have been lost between the tabs: this one begins anew, and asks again.
    if (call === "suspect" && to !== this.#me) this.#cut();
    this.#evaluate();
  }
}
