/**
 * The life of a client's connection, as a pure function: state and event in, new state and effects out.
 *
 *                 ┌────────────────── waiting <── backoff, or as the server said
 *              timer, wake                ^
 *                 v                       │ closed, timeout
 *     idle ──> authorizing ──> dialing ──> attaching ──> live <──> doubt
 *      ^                                                  │          │ no answer: drop, dial at once
 *      └── disconnect, from everywhere          ended <───┴──────────┘ a code that says: stay away
 *
 * Each state but idle and ended has a deadline, so none can be a place to stay for ever; each effect is answered by an
 * event or by the deadline. The table at the end is complete, and the compiler sees to that.
 */

/** What outlives the single states. */
export interface Memory {
  /** Failures since the connection was last stable: the exponent of the backoff. */
  readonly attempts: number;
  /** When the outage began; 0 before the first. */
  readonly outageAt: number;
  /** How often the token was refused since the last welcome. */
  readonly refusals: number;
  /** All dials so far. Each dials its own path, since Firefox delays repeated dials of one URL after failures. */
  readonly dials: number;
  /** The dial budget at `tokensAt`: Chrome itself delays the dials of a page that has failed some 16 within 2 minutes. */
  readonly tokens: number;
  readonly tokensAt: number;
  /** Until when a dial that fails at once is only a radio that has not woken yet, and how often it has. */
  readonly wakeUntil: number;
  readonly rung: number;
  /** The smoothed round trip, in ms; 0 before the first. */
  readonly rtt: number;
}

interface Linked {
  /** When it came alive; when something was last heard and said; how long silence is normal. */
  readonly since: number;
  readonly heard: number;
  readonly sent: number;
  readonly beat: number;
}

export type State = { readonly memory: Memory } & (
  | { readonly name: "idle" }
  | { readonly name: "authorizing"; readonly until: number }
  | { readonly name: "dialing"; readonly since: number; readonly until: number }
  | { readonly name: "attaching"; readonly since: number; readonly until: number }
  | ({ readonly name: "live" } & Linked)
  | ({ readonly name: "doubt"; readonly until: number } & Linked)
  | { readonly name: "waiting"; readonly until: number; readonly failedAt: number; readonly reason: string }
  /** Hidden for long: it let go on purpose and comes back when shown. */
  | { readonly name: "asleep" }
  | { readonly name: "ended"; readonly reason: string; readonly code: number }
);

export type Event =
  /** The application wants a connection, does not, or wants the next attempt now. */
  | { readonly type: "connect" }
  | { readonly type: "disconnect" }
  | { readonly type: "retry" }
  /** Something happened after which the old connection is not to be trusted, or a new one may succeed. */
  | { readonly type: "wake" }
  /** An answer is overdue, or the network is said to be gone. */
  | { readonly type: "suspect" }
  | { readonly type: "authorized" }
  /** There is no token: `terminal` if asking again would not help. */
  | { readonly type: "unauthorized"; readonly terminal: boolean; readonly reason: string }
  | { readonly type: "opened" }
  | { readonly type: "welcomed"; readonly beat: number; readonly rtt: number }
  | { readonly type: "heard" }
  /** The answer to the latest ping. */
  | { readonly type: "pong"; readonly rtt: number }
  | { readonly type: "sent" }
  | {
      readonly type: "closed";
      readonly code: number;
      readonly reason: string;
      /** When to come back, in ms, if the server said so. */
      readonly after?: number;
      readonly spread?: number;
    }
  /** The deadline of the state has passed. */
  | { readonly type: "timer" };

export type Effect =
  /** Get a token, a new one if `fresh`. Answered by authorized or unauthorized. */
  | { readonly type: "authorize"; readonly fresh: boolean }
  /** Open a socket on the n-th path. Answered by opened or closed. */
  | { readonly type: "dial"; readonly n: number }
  /** Say hello. Answered by welcomed or closed. */
  | { readonly type: "hello" }
  /** Answered by pong. */
  | { readonly type: "ping" }
  /** Let go of the socket, without waiting for it to close: a dead one takes up to a minute. */
  | { readonly type: "drop"; readonly bye: boolean };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** The moment of an event: the clock in ms and a random number from 0 to 1. */
export interface Moment {
  readonly now: number;
  readonly random: number;
}

export const CLOSE_UNAUTHORIZED = 4501;
export const CLOSE_SUPERSEDED = 4502;
const CLOSE_EXPIRED = 4401;

const TOKEN_TIMEOUT = 15_000;
const DIAL_TIMEOUT = 4_000;
const MAX_DIAL_TIMEOUT = 10_000;
/** A connection that lived so long was a good one: the next dial is immediate, and the backoff begins anew. */
const STABLE = 5_000;
const BACKOFF = 250;
const BUDGET = 8;
const REFILL = 15_000;
/** A dial that is younger survives a wake signal. */
const YOUNG = 1_000;
const WAKE_WINDOW = 10_000;
/** iOS fails the first requests after a wake at once; these pauses bridge the time until it does not. */
const LADDER = [30, 100, 250, 500, 1_000];
const AT_ONCE = 50;

export const INITIAL: State = {
  name: "idle",
  memory: {
    attempts: 0,
    outageAt: 0,
    refusals: 0,
    dials: 0,
    tokens: BUDGET,
    tokensAt: 0,
    wakeUntil: 0,
    rung: 0,
    rtt: 0,
  },
};

/** When the timer event is due; undefined in a state that may last. */
export function deadline(state: State): number | undefined {
  if (state.name === "idle" || state.name === "asleep" || state.name === "ended") return undefined;
  if (state.name === "live") return Math.min(silent(state), state.sent + state.beat);
  return state.until;
}

/** Whether a client that was given the code should come back; see holdfast.CloseCode. */
export function comesBack(code: number): boolean {
  return code !== 1000 && (code < 4500 || code > 4999);
}

export function step(state: State, event: Event, at: Moment): Step {
  // The table has a cell for each pair; that the cell's types are those of this pair is what the compiler cannot follow.
  const cell = TABLE[state.name][event.type] as (s: State, e: Event, at: Moment) => Step;
  return cell(state, event, at);
}

type Dialing = Extract<State, { name: "dialing" | "attaching" }>;
type Living = Extract<State, { name: "live" | "doubt" }>;
type Closed = Extract<Event, { type: "closed" }>;

const drop: Effect = { type: "drop", bye: false };
const leave: Effect = { type: "drop", bye: true };
const silent = (s: Linked) => s.heard + s.beat * 1.2;
const patience = (m: Memory) => Math.min(2_000, Math.max(1_000, 3 * m.rtt));

const stay = (state: State): Step => ({ state, effects: [] });

function start(memory: Memory, now: number, fresh = false, before: readonly Effect[] = []): Step {
  const state: State = { name: "authorizing", until: now + TOKEN_TIMEOUT, memory };
  return { state, effects: [...before, { type: "authorize", fresh }] };
}

/** Begins as if nothing had failed before: the application asked for it. */
function anew(state: State, { now }: Moment): Step {
  return start({ ...state.memory, attempts: 0, refusals: 0, outageAt: now }, now, state.name === "ended");
}

function dial(state: State, _: Event, { now }: Moment): Step {
  const memory = { ...state.memory, dials: state.memory.dials + 1 };
  const timeout = Math.min(MAX_DIAL_TIMEOUT, DIAL_TIMEOUT * 1.5 ** memory.attempts);
  return {
    state: { name: "dialing", since: now, until: now + timeout, memory },
    effects: [{ type: "dial", n: memory.dials }],
  };
}

function idle({ memory }: State): Step {
  return { state: { name: "idle", memory }, effects: [] };
}

function hangUp(state: State): Step {
  return { ...idle(state), effects: [leave] };
}

function ended({ memory }: State, code: number, reason: string): Step {
  return { state: { name: "ended", code, reason, memory }, effects: [drop] };
}

/** Full jitter under a cap that grows with the outage: the sooner it is over, the sooner the user should be back. */
function backOff(memory: Memory, reason: string, { now, random }: Moment, effects: readonly Effect[]): Step {
  const outageAt = memory.outageAt || now;
  const age = now - outageAt;
  const cap = age < 60_000 ? 3_000 : age < 300_000 ? 8_000 : 20_000;
  const pause = random * Math.min(cap, BACKOFF * 2 ** memory.attempts);
  const poor = memory.tokens < 1 ? (1 - memory.tokens) * REFILL : 0;
  return {
    state: {
      name: "waiting",
      failedAt: now,
      until: now + Math.max(pause, poor),
      reason,
      memory: { ...memory, outageAt, attempts: memory.attempts + 1 },
    },
    effects,
  };
}

/** A dial has failed or was given up: it costs budget. */
function spend(memory: Memory, now: number): Memory {
  const tokens = Math.min(BUDGET, memory.tokens + (now - memory.tokensAt) / REFILL);
  return { ...memory, tokens: Math.max(0, tokens - 1), tokensAt: now };
}

function dialFailed(state: Dialing, reason: string, at: Moment): Step {
  const memory = spend(state.memory, at.now);
  const pause = LADDER[memory.rung];
  if (at.now < memory.wakeUntil && at.now - state.since < AT_ONCE && pause !== undefined) {
    const until = at.now + pause * (0.5 + at.random / 2);
    const next = { ...memory, rung: memory.rung + 1 };
    return { state: { name: "waiting", failedAt: at.now, until, reason, memory: next }, effects: [drop] };
  }
  return backOff(memory, reason, at, [drop]);
}

/** What a close means, whether it came as a goodbye or as the socket's end. */
function closed(state: Dialing | Living, event: Closed, at: Moment): Step {
  const { code, after } = event;
  const reason = event.reason || "connection lost";
  const { now } = at;
  const linked = state.name === "live" || state.name === "doubt";
  const stable = linked && now - state.since >= STABLE;
  const memory = stable ? { ...state.memory, attempts: 0, outageAt: now } : state.memory;
  if (code === CLOSE_UNAUTHORIZED && memory.refusals === 0) {
    return start({ ...memory, refusals: 1 }, now, true, [drop]);
  }
  if (!comesBack(code)) return ended(state, code, reason);
  if (after !== undefined) {
    const until = now + after + at.random * (event.spread ?? 0);
    return { state: { name: "waiting", failedAt: now, until, reason, memory }, effects: [drop] };
  }
  if (stable) return start(memory, now, code === CLOSE_EXPIRED, [drop]);
  return linked ? backOff(memory, reason, at, [drop]) : dialFailed(state, reason, at);
}

/** A dial that was begun before a sleep may never end, and it blocks every other to the same host: begin another. */
function redial(state: Dialing, _: Event, { now }: Moment): Step {
  const memory = awake(state.memory, now);
  const age = now - state.since;
  // A negative age means that the clock was set back: the deadline is worth nothing.
  if (age >= 0 && age < YOUNG) return stay({ ...state, memory });
  return start(spend(memory, now), now, false, [drop]);
}

function awake(memory: Memory, now: number): Memory {
  return { ...memory, attempts: 0, wakeUntil: now + WAKE_WINDOW, rung: 0 };
}

/** A wake dials at once; only one that has just failed with an empty budget is held back. */
function wakeWaiting(state: Extract<State, { name: "waiting" }>, _: Event, { now }: Moment): Step {
  const memory = awake(state.memory, now);
  const soonest = state.failedAt + 2_000;
  if (memory.tokens < 1 && now < soonest) return stay({ ...state, memory, until: Math.min(state.until, soonest) });
  return start(memory, now);
}

function wakeAuthorizing(state: Extract<State, { name: "authorizing" }>, _: Event, { now }: Moment): Step {
  return stay({ ...state, until: Math.min(state.until, now + TOKEN_TIMEOUT), memory: awake(state.memory, now) });
}

function wakeInDoubt(state: Extract<State, { name: "doubt" }>, _: Event, { now }: Moment): Step {
  const memory = awake(state.memory, now);
  return stay({ ...state, until: Math.min(state.until, now + patience(memory)), memory });
}

/** Asks the other side for a sign of life, and gives it little time: it has an answer ready if it lives. */
function probe(state: Extract<State, { name: "live" }>, event: Event, { now }: Moment): Step {
  const memory = event.type === "wake" ? awake(state.memory, now) : state.memory;
  return {
    state: { ...state, name: "doubt", sent: now, until: now + patience(memory), memory },
    effects: [{ type: "ping" }],
  };
}

function beatOrProbe(state: Extract<State, { name: "live" }>, event: Event, at: Moment): Step {
  if (at.now >= silent(state)) return probe(state, event, at);
  if (at.now < state.sent + state.beat) return stay(state);
  return { state: { ...state, sent: at.now }, effects: [{ type: "ping" }] };
}

const smoothed = (rtt: number, sample: number) => (rtt ? rtt + (sample - rtt) / 8 : sample);

function pong(state: Living, { rtt }: Extract<Event, { type: "pong" }>, { now }: Moment): Step {
  const memory = { ...state.memory, rtt: smoothed(state.memory.rtt, rtt) };
  const { since, sent, beat } = state;
  return stay({ name: "live", since, sent, beat, heard: now, memory });
}

function welcomed(state: Dialing, { beat, rtt }: Extract<Event, { type: "welcomed" }>, { now }: Moment): Step {
  const memory = { ...state.memory, refusals: 0, rtt: smoothed(state.memory.rtt, rtt) };
  return stay({ name: "live", since: now, heard: now, sent: now, beat, memory });
}

/** Frames that come while the pong is outstanding may be old ones out of a buffer, but a line that delivers gets time. */
function heardInDoubt(state: Extract<State, { name: "doubt" }>, _: Event, { now }: Moment): Step {
  return stay({ ...state, heard: now, until: now + patience(state.memory) });
}

function dropDead(state: Living, _: Event, { now }: Moment): Step {
  const stable = now - state.since >= STABLE;
  const memory = { ...state.memory, outageAt: now, ...(stable && { attempts: 0 }) };
  return start(memory, now, false, [drop]);
}

function noToken(state: State, event: Extract<Event, { type: "unauthorized" }>, at: Moment): Step {
  if (event.terminal) return ended(state, CLOSE_UNAUTHORIZED, event.reason);
  return backOff(state.memory, event.reason, at, []);
}

type Table = {
  readonly [S in State["name"]]: {
    readonly [E in Event["type"]]: (
      state: Extract<State, { name: S }>,
      event: Extract<Event, { type: E }>,
      at: Moment,
    ) => Step;
  };
};

/** Every pair has its cell; the compiler demands it. `stay` is for what is meaningless or tells nothing new there. */
const TABLE: Table = {
  idle: {
    connect: (s, _, at) => anew(s, at),
    disconnect: stay,
    retry: (s, _, at) => anew(s, at),
    wake: stay,
    suspect: stay,
    authorized: stay,
    unauthorized: stay,
    opened: stay,
    welcomed: stay,
    heard: stay,
    pong: stay,
    sent: stay,
    closed: stay,
    timer: stay,
  },
  authorizing: {
    connect: stay,
    disconnect: idle,
    retry: stay,
    wake: wakeAuthorizing,
    suspect: stay,
    authorized: dial,
    unauthorized: noToken,
    opened: stay,
    welcomed: stay,
    heard: stay,
    pong: stay,
    sent: stay,
    closed: stay,
    timer: (s, _, at) => backOff(s.memory, "no token in time", at, []),
  },
  dialing: {
    connect: stay,
    disconnect: hangUp,
    retry: redial,
    wake: redial,
    suspect: stay,
    authorized: stay,
    unauthorized: stay,
    opened: (s) => ({ state: { ...s, name: "attaching" }, effects: [{ type: "hello" }] }),
    welcomed: stay,
    heard: stay,
    pong: stay,
    sent: stay,
    closed: closed,
    timer: (s, _, at) => dialFailed(s, "no answer in time", at),
  },
  attaching: {
    connect: stay,
    disconnect: hangUp,
    retry: redial,
    wake: redial,
    suspect: stay,
    authorized: stay,
    unauthorized: stay,
    opened: stay,
    welcomed: welcomed,
    heard: stay,
    pong: stay,
    sent: stay,
    closed: closed,
    timer: (s, _, at) => dialFailed(s, "no answer in time", at),
  },
  live: {
    connect: stay,
    disconnect: hangUp,
    retry: probe,
    wake: probe,
    suspect: probe,
    authorized: stay,
    unauthorized: stay,
    opened: stay,
    welcomed: stay,
    heard: (s, _, { now }) => stay({ ...s, heard: now }),
    pong: pong,
    sent: (s, _, { now }) => stay({ ...s, sent: now }),
    closed: closed,
    timer: beatOrProbe,
  },
  doubt: {
    connect: stay,
    disconnect: hangUp,
    retry: stay,
    wake: wakeInDoubt,
    suspect: stay,
    authorized: stay,
    unauthorized: stay,
    opened: stay,
    welcomed: stay,
    heard: heardInDoubt,
    pong: pong,
    sent: (s, _, { now }) => stay({ ...s, sent: now }),
    closed: closed,
    timer: dropDead,
  },
  waiting: {
    connect: (s, _, { now }) => start(s.memory, now),
    disconnect: idle,
    retry: (s, _, { now }) => start(awake(s.memory, now), now),
    wake: wakeWaiting,
    suspect: stay,
    authorized: stay,
    unauthorized: stay,
    opened: stay,
    welcomed: stay,
    heard: stay,
    pong: stay,
    sent: stay,
    closed: stay,
    timer: (s, _, { now }) => start(s.memory, now),
  },
  asleep: {
    connect: (s, _, { now }) => start(s.memory, now),
    disconnect: idle,
    retry: (s, _, { now }) => start(awake(s.memory, now), now),
    wake: (s, _, { now }) => start(awake(s.memory, now), now),
    suspect: stay,
    authorized: stay,
    unauthorized: stay,
    opened: stay,
    welcomed: stay,
    heard: stay,
    pong: stay,
    sent: stay,
    closed: stay,
    timer: stay,
  },
  ended: {
    connect: (s, _, at) => anew(s, at),
    disconnect: idle,
    retry: (s, _, at) => anew(s, at),
    wake: stay,
    suspect: stay,
    authorized: stay,
    unauthorized: stay,
    opened: stay,
    welcomed: stay,
    heard: stay,
    pong: stay,
    sent: stay,
    closed: stay,
    timer: stay,
  },
};
