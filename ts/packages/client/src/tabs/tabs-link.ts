import { Connection } from "../connection.ts";
import { INITIAL } from "../connection-state.ts";
import type { State } from "../connection-types.ts";
import type { Cancel, Env, PageSignal } from "../env/env.ts";
import type { Channel, Siblings } from "../env/siblings.ts";
import { type Identity, randomName } from "../identity.ts";
import type { ConnectionStats, Link, LinkParts, OwnedFrame } from "../link.ts";
import type { ClientFrame } from "../wire.ts";
import { decide, isFresh, MOMENT } from "./election.ts";
import { Leadership, SharedIdentity } from "./leadership.ts";
import type { Call, Lease, Message } from "./messages.ts";
import { SharedToken } from "./shared-token.ts";
import { claimsOf } from "./user.ts";

const TICK = 1_000;
/** A leader that has not answered a join by then, in ms, does not hear, whatever its leases say. */
const JOIN_TIMEOUT = 500;
const MUTE = 10_000;
/** How long a channel may take to carry a message to its own page. */
const TEST_TIMEOUT = 100;
const RETEST = 10_000;
/** How long a new connection may take to bring all up to date before it replaces one that works. */
const OVERLAP = 1_000;
/** After a sleep all tabs wake at once: what the leader has to say may come a moment later than one's own clock. */
const SLEPT = 2_500;
const GRACE = 300;

const CONNECTING: State = {
  name: "dialing",
  n: 0,
  since: 0,
  until: Number.POSITIVE_INFINITY,
  gateAt: Number.POSITIVE_INFINITY,
  memory: INITIAL.memory,
};

/** Where this tab's frames come from. */
interface Feed {
  readonly tab: string;
  readonly link: number;
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

  /** Whether a connection is wanted; which attempt to begin with, so that one that was given up does nothing any more. */
  #wanted = false;
  #turn = 0;
  /** A tab whose user is not known shares nothing: this is its connection. */
  #plain: Connection | undefined;

  /** While running: what all tabs of this server and user have in common, and what ends it. */
  #scope = "";
  #user = "";
  #channel: Channel | undefined;
  #token: SharedToken;
  #stops: Cancel[] = [];
  #running = false;

  readonly #leases = new Map<string, Lease>();
  readonly #mute = new Map<string, number>();
  #vacant = 0;
  #deaf = false;
  #testedAt = 0;
  #testing = false;
  #steals: number[] = [];
  #lock: Cancel | undefined;
  #granted = false;
  #evaluated = { at: 0, visible: false };

  /** The connection that this tab has for all, and the one that it has for itself. */
  #led: Leadership | undefined;
  #solo: Leadership | undefined;
  #links = 0;
  #leasedAt = 0;
  #welcomedAt = 0;
  #feed: Feed | undefined;
  #joined: Cancel | undefined;
  /** What this tab reads, for a connection to begin with. */
  readonly #reading = new Map<string, number | undefined>();

  constructor(parts: LinkParts, siblings: Siblings, user: string | undefined) {
    this.#parts = parts;
    this.#env = parts.env;
    this.#siblings = siblings;
    this.#givenUser = user;
    this.#me = randomName(parts.env);
    this.#token = this.#newToken();
  }

  get state(): State {
    if (this.#plain) return this.#plain.state;
    if (!this.#running) return this.#wanted ? CONNECTING : { name: "idle", memory: INITIAL.memory };
    const feed = this.#feed && this.#leaseOf(this.#feed.tab);
    const own = this.#led ?? this.#solo;
    return (feed ?? own?.lease ?? this.#best())?.state ?? CONNECTING;
  }

  get stats(): ConnectionStats {
    if (this.#plain) return this.#plain.stats;
    const lease = (this.#feed && this.#leaseOf(this.#feed.tab)) ?? (this.#led ?? this.#solo)?.lease ?? this.#best();
    return lease?.stats ?? { connection: "", user: "", dials: 0, welcomes: 0, received: 0, sent: 0, rtt: 0 };
  }

  get open(): boolean {
    return this.#plain ? this.#plain.open : this.#feed !== undefined;
  }

  connect(): void {
    this.#wanted = true;
    if (this.#plain) return this.#plain.connect();
    if (this.#running) return this.#call("connect");
    this.#stops.push(this.#env.signals((signal) => this.#signal(signal)));
    void this.#begin();
    this.#parts.owner.changed();
  }

  disconnect(): void {
    this.#wanted = false;
    this.#plain?.disconnect();
    this.#end();
    for (const stop of this.#stops.splice(0)) stop();
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
    const turn = ++this.#turn;
    const user = await this.#whoAmI();
    if (turn !== this.#turn || !this.#wanted) return;
    if (user === undefined) return this.#goPlain();
    this.#user = user;
    this.#scope = `holdfast:${this.#parts.url}:${user}`;
    this.#token = this.#newToken();
    this.#running = true;
    this.#vacant = this.#env.now();
    this.#channel = this.#siblings.channel(this.#scope, (message) => this.#hear(message as Message));
    const kept = this.#parse(this.#siblings.storage.get(this.#key("lease")));
    // Not the promise of an hour ago: only one that is still good.
    if (kept && isFresh(kept.at, this.#env.now())) this.#leases.set(kept.tab, kept);
    await this.#test();
    if (turn !== this.#turn) return;
    this.#tick();
    this.#evaluate();
  }

  /** Tabs of different users never meet: all that they share is named after the user. */
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

  #goPlain(): void {
    this.#end();
    this.#plain = new Connection(this.#parts);
    this.#plain.connect();
  }

  #end(): void {
    this.#turn++;
    if (!this.#running) return;
    this.#running = false;
    if (this.#feed) this.#say({ m: "leave", tab: this.#me });
    this.#cut();
    this.#resign();
    this.#solo?.end();
    this.#solo = undefined;
    this.#release();
    this.#channel?.close();
    this.#channel = undefined;
    this.#leases.clear();
    this.#mute.clear();
    this.#evaluated = { at: 0, visible: false };
  }

  #signal(signal: PageSignal): void {
    if (signal === "stored" || signal === "leaving") {
      // A page in the back/forward cache is thrown out of it by a message that it is sent, or by a lock that it holds.
      this.#end();
      return this.#parts.owner.changed();
    }
    if (!this.#running && !this.#plain && this.#wanted && (signal === "restored" || signal === "visible")) {
      return void this.#begin();
    }
    if (signal === "hidden" || signal === "visible") this.#lease();
    this.#evaluate();
  }

  #tick(): void {
    if (!this.#running) return;
    const turn = this.#turn;
    if (this.#led) this.#lease();
    this.#led?.hub.tick();
    this.#solo?.hub.tick();
    if (this.#deaf && this.#env.now() - this.#testedAt > RETEST) void this.#test().then(() => this.#evaluate());
    this.#evaluate();
    this.#env.timer(() => turn === this.#turn && this.#tick(), TICK);
  }

  // Who leads

  #evaluate(): void {
    if (!this.#running || this.#testing) return;
    const now = this.#env.now();
    const visible = this.#env.visible();
    const leader = this.#best();
    this.#forgive(leader, now, visible);
    this.#evaluated = { at: now, visible };
    const verdict = decide({
      now,
      visible,
      deaf: this.#deaf,
      leading: this.#led !== undefined,
      granted: this.#granted,
      leader: this.#best(),
      vacant: this.#vacant,
      steals: this.#steals,
    });
    if (verdict === "lead" && !this.#led) this.#lead();
    if (verdict === "steal") this.#steal();
    if (verdict === "alone" && !this.#solo && !this.#led) this.#goSolo();
    this.#queue(verdict === "wait" || (verdict === "follow" && visible));
    if (verdict === "wait" && visible) this.#later(MOMENT);
    this.#follow();
  }

  /** A machine that slept finds every lease lapsed, its own too. */
  #forgive(leader: Lease | undefined, now: number, visible: boolean): void {
    const { at, visible: seen } = this.#evaluated;
    if (!leader?.visible || !visible || !seen || now - at < SLEPT || !isFresh(leader.at, at)) return;
    this.#leases.set(leader.tab, { ...leader, at: now - SLEPT + GRACE });
    this.#later(GRACE + 1);
  }

  #later(ms: number): void {
    const turn = this.#turn;
    this.#env.timer(() => turn === this.#turn && this.#evaluate(), ms);
  }

  /** The leader that is known and hears, the highest first, and one that is connected before one that is not. */
  #best(): Lease | undefined {
    const now = this.#env.now();
    return [...this.#leases.values()]
      .filter(({ tab }) => now >= (this.#mute.get(tab) ?? 0))
      .sort((a, b) => Number(!!b.welcome) - Number(!!a.welcome) || b.epoch - a.epoch)[0];
  }

  #leaseOf(tab: string): Lease | undefined {
    if (tab !== this.#me) return this.#leases.get(tab);
    return (this.#led?.attached ? this.#led : (this.#solo ?? this.#led))?.lease;
  }

  #steal(): void {
    this.#testing = true;
    const turn = this.#turn;
    void this.#test().then((heard) => {
      if (turn !== this.#turn) return;
      if (heard && !this.#led) {
        this.#steals = [...this.#steals.slice(-9), this.#env.now()];
        this.#lead();
      }
      this.#evaluate();
    });
  }

  #lead(): void {
    const { storage } = this.#siblings;
    const key = this.#key("client");
    const id = storage.get(key) ?? randomName(this.#env);
    storage.set(key, id);
    const identity = new SharedIdentity(this.#env, storage, `${this.#scope}:`, id);
    identity.nextGeneration();
    if (!this.#granted) this.#take();
    this.#led = this.#make(identity, () => this.#led);
    this.#led.connection.connect();
    this.#lease();
  }

  #goSolo(): void {
    this.#solo = this.#make(this.#parts.identity, () => this.#solo);
    this.#solo.connection.connect();
  }

  #make(identity: Identity, current: () => Leadership | undefined): Leadership {
    const made: Leadership = new Leadership(this.#me, { ...this.#parts, token: this.#token }, identity, {
      tell: (frames, to) => this.#tell(made, frames, to),
      heard: () => {
        if (made.shared && this.#env.now() - this.#leasedAt >= TICK) this.#lease();
        if (this.#feed?.tab !== this.#me && made.hub.upToDate()) this.#evaluate();
      },
      changed: () => {
        if (current() === made) this.#changed();
      },
      superseded: () => this.#stepDown(),
      link: () => ++this.#links,
      welcomed: ({ user }) => {
        // Not who the token says: the others must not see what this one may.
        if (made.shared && user !== this.#user) return this.#goPlain();
        this.#welcomedAt = this.#env.now();
        this.#later(OVERLAP);
        this.#changed();
      },
    });
    const { owner } = this.#parts;
    if (!this.#feed) {
      this.#reading.clear();
      for (const { s, last } of owner.attach()) this.#reading.set(s, last);
      owner.cut();
    }
    for (const [s, last] of this.#reading) {
      made.hub.expect(this.#me, { s, ...(last !== undefined && { last }) }, owner.held?.(s));
    }
    return made;
  }

  #changed(): void {
    this.#lease();
    this.#evaluate();
    this.#parts.owner.changed();
  }

  /** The lease, to all who hear and to those who come. */
  #lease(): void {
    if (!this.#led) return;
    const { lease } = this.#led;
    this.#leasedAt = lease.at;
    this.#say(lease);
    this.#siblings.storage.set(this.#key("lease"), JSON.stringify(lease));
  }

  /** The server lets another one live, or another one has it. */
  #stepDown(): void {
    this.#vacant = this.#env.now();
    this.#resign();
    this.#release();
    this.#later(MOMENT);
    this.#evaluate();
    this.#parts.owner.changed();
  }

  #resign(): void {
    const led = this.#led;
    if (!led) return;
    this.#led = undefined;
    if (this.#feed?.tab === this.#me && !this.#solo?.attached) this.#cut();
    led.end();
    this.#say({ m: "resign", tab: this.#me });
    if (this.#parse(this.#siblings.storage.get(this.#key("lease")))?.tab === this.#me) {
      this.#siblings.storage.set(this.#key("lease"), null);
    }
  }

  // The lock. It tells of a leader's end at once, and serves for nothing else.

  #queue(want: boolean): void {
    if (this.#led || this.#granted) return;
    if (!want) return this.#release();
    this.#lock ??= this.#request(false);
  }

  #take(): void {
    this.#release();
    this.#lock = this.#request(true);
  }

  #request(steal: boolean): Cancel {
    const cancel = this.#siblings.lock(this.#key("lead"), steal, {
      got: () => {
        if (cancelled) return;
        this.#granted = true;
        this.#evaluate();
      },
      lost: () => {
        if (cancelled) return;
        this.#granted = false;
        this.#lock = undefined;
      },
    });
    let cancelled = false;
    return () => {
      cancelled = true;
      cancel();
    };
  }

  #release(): void {
    this.#lock?.();
    this.#lock = undefined;
    this.#granted = false;
  }

  // Following

  /** Takes its frames from whoever is best now. What works is left only for what works. */
  #follow(): void {
    const to = this.#choose();
    const now = this.#feed;
    if (to && now?.tab === to.tab && now.link === to.link) return this.#tidy();
    if (now) this.#cut();
    if (to) this.#join(to);
    this.#tidy();
  }

  #choose(): Lease | undefined {
    const now = this.#env.now();
    const alive = (lease: Lease) => !this.#env.visible() || isFresh(lease.at, now);
    const other = this.#best();
    const theirs = other?.welcome && alive(other) && !this.#deaf ? other : undefined;
    const led = this.#led?.attached ? this.#led.lease : undefined;
    if (led && (!theirs || led.epoch > theirs.epoch) && this.#ready(this.#led)) return led;
    if (theirs) return theirs;
    return led ?? (this.#solo?.attached ? this.#solo.lease : undefined);
  }

  /** Where there is something that works, its successor has to be up to date first. */
  #ready(led: Leadership | undefined): boolean {
    if (!this.#feed || this.#feed.tab === this.#me || led?.hub.upToDate()) return true;
    return this.#env.now() - this.#welcomedAt >= OVERLAP;
  }

  /** Ends what is not needed any more. */
  #tidy(): void {
    const other = this.#best();
    const fresh = other && isFresh(other.at, this.#env.now());
    if (this.#led && fresh && other.epoch > this.#led.lease.epoch && (other.welcome || !this.#led.attached)) {
      this.#stepDown();
    }
    const solo = this.#solo;
    if (!solo || !this.#feed || (this.#feed.tab === this.#me && !this.#led?.attached)) return;
    this.#solo = undefined;
    solo.end();
  }

  #join(lease: Lease): void {
    const { owner } = this.#parts;
    this.#feed = { tab: lease.tab, link: lease.link };
    const subs = owner.attach();
    this.#reading.clear();
    for (const { s, last } of subs) this.#reading.set(s, last);
    this.#say({ m: "join", tab: this.#me, to: lease.tab, subs });
    if (lease.tab !== this.#me) this.#expectAnswer(lease.tab);
    if (lease.welcome) owner.welcomed(lease.welcome);
    owner.changed();
  }

  #expectAnswer(tab: string): void {
    const { env } = this.#parts;
    this.#joined = env.timer(() => {
      this.#mute.set(tab, env.now() + MUTE);
      if (this.#best() === undefined) this.#vacant = 0;
      this.#evaluate();
    }, JOIN_TIMEOUT);
  }

  #cut(): void {
    this.#joined?.();
    this.#joined = undefined;
    if (!this.#feed) return;
    this.#feed = undefined;
    this.#parts.owner.cut();
    this.#parts.owner.changed();
  }

  // What tabs say to each other

  #say(message: Message): void {
    if ("to" in message && message.to === this.#me) return this.#hear(message);
    this.#channel?.post(message);
  }

  #tell(from: Leadership, frames: readonly OwnedFrame[], to?: string): void {
    const message: Message = { m: "down", tab: this.#me, frames, ...(to !== undefined && { to }) };
    const mine = this.#feed?.tab === this.#me && from === (this.#led?.attached ? this.#led : this.#solo);
    if (to === this.#me || (to === undefined && mine)) this.#down(frames);
    if (to !== this.#me && from.shared) this.#channel?.post(message);
  }

  #hear(message: Message): void {
    if (!this.#running) return;
    switch (message.m) {
      case "lease":
        return this.#heardLease(message);
      case "resign":
        this.#leases.delete(message.tab);
        if (this.#best() === undefined) this.#vacant = this.#env.now();
        return this.#evaluate();
      case "leave":
        return this.#led?.hub.leave(message.tab);
      case "down":
        if (message.tab !== this.#feed?.tab || (message.to !== undefined && message.to !== this.#me)) return;
        return this.#down(message.frames);
      case "token":
        return this.#token.hear(message.token);
      case "join":
      case "up":
      case "call":
        if (message.to === this.#me) return this.#serve(message);
    }
  }

  #heardLease(lease: Lease): void {
    // A tab of another user, who signed in where the name is the same.
    if (lease.welcome && lease.welcome.user !== this.#user) return;
    this.#leases.set(lease.tab, lease);
    this.#evaluate();
    if (lease.tab === this.#feed?.tab || !this.#feed) this.#parts.owner.changed();
  }

  #serve(message: Extract<Message, { to: string; m: "join" | "up" | "call" }>): void {
    const own = this.#led?.attached ? this.#led : (this.#solo ?? this.#led);
    // Those of others are for the one that is shared.
    const at = message.tab === this.#me ? own : this.#led;
    if (!at) return;
    if (message.m === "join") return at.hub.join(message.tab, message.subs);
    if (message.m === "up") return at.hub.up(message.tab, message.client, message.frame);
    at.connection[message.call]();
  }

  #down(frames: readonly OwnedFrame[]): void {
    this.#joined?.();
    this.#joined = undefined;
    const { owner, identity } = this.#parts;
    for (const frame of frames) {
      // Nobody is told his own signals.
      if (frame.t !== "signal" || frame.c !== identity.id) owner.frame(frame);
    }
  }

  #call(call: Call): void {
    const to = this.#feed?.tab ?? (this.#led || this.#solo ? this.#me : this.#best()?.tab);
    if (to !== undefined) this.#say({ m: "call", tab: this.#me, to, call });
    this.#evaluate();
  }

  /** Whether this tab's messages reach anybody: a second end of the channel, in this page, has to hear it. */
  #test(): Promise<boolean> {
    this.#testing = true;
    this.#testedAt = this.#env.now();
    return new Promise((resolve) => {
      const done = (heard: boolean) => {
        end.close();
        cancel();
        this.#testing = false;
        this.#deaf = !heard;
        resolve(heard);
      };
      const end = this.#siblings.channel(this.#scope, (message) => {
        const { m, tab } = message as { m: string; tab: string };
        if (m === "test" && tab === this.#me) done(true);
      });
      const cancel = this.#env.timer(() => done(false), TEST_TIMEOUT);
      this.#say({ m: "test", tab: this.#me });
    });
  }

  // Tokens

  #newToken(): SharedToken {
    return new SharedToken(
      this.#parts.token,
      () => this.#env.now(),
      (fetch) => this.#fetchAlone(fetch),
    );
  }

  /** One tab at a time asks the application, and tells the others. */
  #fetchAlone(fetch: () => Promise<string>): Promise<string> {
    return new Promise((resolve, reject) => {
      let asked = false;
      const ask = (): void => {
        if (asked) return;
        asked = true;
        const heard = this.#token.fresh(this.#env.now());
        const token = heard === undefined ? fetch() : Promise.resolve(heard);
        token
          .then((value) => {
            if (this.#givenUser === undefined && claimsOf(value)?.user !== this.#user) {
              this.#goPlain();
              throw new Error("the token is another user's");
            }
            if (heard === undefined) this.#say({ m: "token", token: value });
            return value;
          })
          .finally(() => release())
          .then(resolve, reject);
      };
      const release = this.#siblings.lock(this.#key("token"), false, { got: ask, lost: () => {} });
      // A frozen tab may hold it for an hour.
      this.#env.timer(ask, JOIN_TIMEOUT * 4);
    });
  }

  #key(name: string): string {
    return `${this.#scope}:${name}`;
  }

  #parse(text: string | null): Lease | undefined {
    try {
      return (JSON.parse(text ?? "null") as Lease | null) ?? undefined;
    } catch {
      return undefined;
    }
  }
}
