/**
 * The life of a client's connection, as a pure function: state and event in, new state and effects out.
 *
 *        ┌────── waiting <── backoff, the gate's no, or as the server said ──┐
 *      timer,       ^                                                        │ closed
 *      wake, gate   │ no token, no socket                                    │
 *        └──────> dialing ────opened────> attaching ────welcomed────────> live
 *     idle ──connect─^  ^                    ^                             │ wake, silence: ping
 *                       │ no answer: drop    │ the second is ready         v
 *                       └────────────────────┴────────────────────────── doubt ──pong──> live
 *
 * From everywhere: disconnect leads to idle, hidden for long or put away to asleep, and a code that says so to ended.
 *
 * One socket is attached at a time. In doubt there may be a second one, which stands by: it takes over if it is ready
 * before the first has answered, and else it is dropped, and nobody has noticed. While a socket is connecting, browsers
 * hold back every other to the same host, so there is never more than one of those. A server that is about to leave says
 * so, and then a live one has a second, too, which takes over when the server says goodbye.
 *
 * Each state but idle, asleep and ended has a deadline, so none can be a place to stay for ever; each effect is answered
 * by an event or by the deadline. The table at the end is complete, and the compiler sees to that.
 */
import type { Dial, Effect, Event, Moment, State, Step } from "./connection-types.ts";
import { awake, backoff, dialTimeout, HEADSTART, hedge, ladder, mayRedial, needsGate } from "./pace.ts";
import { penance, settle, smoothed, spend, spent, trust, verdict } from "./pace.ts";

export const CLOSE_EXPIRED = 4401;
export const CLOSE_PROTOCOL = 4500;
export const CLOSE_UNAUTHORIZED = 4501;
export const CLOSE_SUPERSEDED = 4502;

/** A gate that has not answered by then never will: a little more than its request may take. */
const GATE_TIMEOUT = 1_500;
/** From when on a dial is slow, and the pause between two questions at the gate meanwhile. */
const SLOW = 1_000;
const GATE_PAUSE = 200;
/** Between two tries to have another socket stand by, where the server is about to leave. */
const MOVE_PAUSE = 1_000;
/** A dial that is younger survives a wake signal. */
const YOUNG = 1_000;
const NEVER = Infinity;

/** Before the first event; the rest comes with the states in which it has a meaning. */
export const INITIAL = {
  name: "idle",
  n: 0,
  attempts: 0,
  outageAt: 0,
  refusals: 0,
  dials: 0,
  failed: [],
  approvedAt: 0,
  redialAt: 0,
  wakeUntil: 0,
  rung: 0,
  hiddenAt: 0,
  linger: 0,
  rtt: 0,
} as Partial<State> as State;

/** When the timer event is due; undefined in a state that may last. */
export function deadline(s: State): number | undefined {
  switch (s.name) {
    case "live":
      return Math.min(silentAt(s), s.sent + beatOf(s), parkAt(s), s.moveAt);
    case "dialing":
      return Math.min(s.until, s.gateAt);
    case "doubt":
      return s.second ? s.until : Math.min(s.until, s.lateAt);
    case "attaching":
    case "waiting":
      return s.until;
  }
  return undefined;
}

/** Whether a client that was given the code should come back; see holdfast.CloseCode. */
export const comesBack = (code: number) => code !== 1000 && (code < 4500 || code > 4999);

export function step(before: State, event: Event, at: Moment): Step {
  const state = { ...before, ...at };
  // That the cell's type is that of this event is what the compiler cannot follow.
  const row = TABLE[state.name] as { readonly [type: string]: Cell | undefined };
  // What a socket says that was dropped meanwhile counts no more.
  const stale = "n" in event && !sockets(state).includes(event.n);
  return (!stale && row[event.type]?.(state, event)) || to(state);
}

type Of<E extends Event["type"]> = Extract<Event, { type: E }>;
type Cell = (state: State, event: Event) => Step;
type Bye = "" | "leave" | "park";

const beatOf = (s: State) => (s.hiddenAt ? s.rest : s.beat);
const silentAt = (s: State) => s.heard + beatOf(s) * 1.2;
const parkAt = (s: State) => (s.hiddenAt ? s.hiddenAt + s.linger : NEVER);
export const sockets = ({ n, second }: State) => [n, second?.n ?? 0].filter(Boolean);

/** The state with changes, and what is to be done. */
const to = (s: State, change: Partial<State> = {}, ...effects: readonly Effect[]): Step => ({
  state: { ...s, ...change },
  effects,
});
const drop = (n: number, bye: Bye = ""): Effect => ({ type: "drop", n, bye });
/** Lets go of all sockets on the way. */
const leave = (s: State, change: Partial<State>, bye: Bye, ...effects: readonly Effect[]): Step =>
  to(s, { n: 0, second: undefined, ...change }, ...sockets(s).map((n) => drop(n, bye)), ...effects);

// On the way

/** Dials now, or asks the gate first. */
const start = (s: State, reason = "connection lost"): Step =>
  needsGate(s) ? wait(s, GATE_TIMEOUT, reason, { asking: true }, { type: "gate" }) : dial(s);

function dial(s: State): Step {
  const { now } = s;
  const n = s.dials + 1;
  const until = now + dialTimeout(s);
  return leave(s, { name: "dialing", n, dials: n, since: now, until, gateAt: now + SLOW }, "", { type: "dial", n });
}

function wait(s: State, ms: number, reason: string, change?: Partial<State>, ...effects: readonly Effect[]): Step {
  const until = s.now + ms;
  return leave(s, { name: "waiting", until, reason, asking: false, told: 0, ...change }, "", ...effects);
}

const backOff = (s: State, reason: string, most = NEVER): Step =>
  wait(s, Math.min(most, backoff(s)), reason, { outageAt: s.outageAt || s.now, attempts: s.attempts + 1 });

/** Begins as if nothing had failed before: the application asked for it. */
const anew = (s: State): Step => start({ ...s, attempts: 0, refusals: 0, outageAt: 0, hiddenAt: 0 });

/** The state when all sockets are about to be let go of: browsers count those that were connecting as failed. */
const parted = (s: State): State => (s.name === "dialing" || (s.second && !s.second.asked) ? spend(s) : s);

const hangUp = (s: State): Step => leave(parted(s), { name: "idle" }, "leave");

const sleep = (s: State, event: Event): Step =>
  leave(parted(s), { name: "asleep" }, event.type === "sleep" && !event.park ? "leave" : "park");

const ended = (s: State, code: number, reason: string): Step => leave(parted(s), { name: "ended", code, reason }, "");

/** What a wake changes, whatever the state. */
const woken = (s: State, event: Event): State => awake(s, event.type === "wake" && event.hidden);

const hidden = (s: State, { linger }: Of<"hidden">): Step => to(s, { hiddenAt: s.hiddenAt || s.now, linger });

const attach = (s: State, { n, since }: Dial, ...effects: readonly Effect[]): Step =>
  to(s, { name: "attaching", n, since, second: undefined, until: s.now + dialTimeout(s) }, ...effects);

function dialFailed(before: State, reason: string): Step {
  const s = spend(before);
  const pause = ladder(s, s.since);
  return pause ? wait(s, pause, reason, { rung: s.rung + 1 }) : backOff(s, reason);
}

const late = (s: State): Step => dialFailed(s, "no answer in time");

/** The deadline of a dial, or the time to ask whether it is worth waiting for. */
const slow = (s: State): Step => (s.now < s.until ? to(s, { gateAt: NEVER }, { type: "gate" }) : late(s));

/** A dial that was begun in a dead network does not notice that it healed; the gate does. */
function gateBeside(s: State, { ok }: Of<"gate">): Step {
  const { now } = s;
  if (s.gateAt < NEVER) return to(s);
  const gateAt = now + GATE_PAUSE;
  if (!ok) return to(s, { gateAt, approvedAt: 0 });
  if (!mayRedial(s)) return to(s, { gateAt });
  return dial({ ...spend(s), redialAt: now, approvedAt: now, attempts: s.attempts + 1 });
}

/** A negative age means that the clock was set back. */
const isYoung = ({ now }: State, since: number) => now >= since && now - since < YOUNG;

/** A dial that was begun before a sleep may never end, and it blocks every other to the same host: begin another. */
function redial(s: State, event: Event): Step {
  const next = woken(s, event);
  return isYoung(s, s.since) ? to(next) : start(spend(next));
}

function welcomed(s: State, { n, beat, rest, rtt }: Of<"welcomed">): Step {
  const { now } = s;
  const live = { name: "live", n, heard: now, sent: now, beat, rest, stable: false, moveAt: NEVER } as const;
  return to(s, { ...live, refusals: 0, rtt: smoothed(s, rtt) });
}

const noToken = (s: State, { terminal, dialed, reason }: Of<"unauthorized">): Step =>
  terminal ? ended(s, CLOSE_UNAUTHORIZED, reason) : backOff(dialed ? spend(s) : s, reason);

// Waiting

function waited(s: State, event: Event): Step {
  // Nobody looks: what a battery pays for every dial is worth nothing then.
  if (s.hiddenAt && s.now - s.hiddenAt >= s.linger / 2) return sleep(s, event);
  return s.asking ? gateAnswered(s, { type: "gate", ok: false }) : start(s, s.reason);
}

function gateAnswered(s: State, { ok, after }: Of<"gate">): Step {
  const { now, reason } = s;
  if (!s.asking) return to(s);
  const next = { ...s, approvedAt: ok ? now : 0 };
  if (ok) {
    const until = penance(s);
    return until ? wait(next, until - now, reason) : dial(next);
  }
  const told = after && after + backoff(s);
  if (told) return wait(next, told, reason, { told });
  const left = trust(s);
  // Where somebody looks, the gate is asked again when it would not be believed any more; less than 1 ms is no pause.
  return left > 1 ? backOff(next, reason, s.hiddenAt ? NEVER : left) : dial(next);
}

/** A wake dials at once, unless the server has said when to come, and the clock was not set back since. */
function wakeWaiting(s: State, event: Event): Step {
  const next = woken(s, event);
  return event.type === "wake" && s.told && s.until - s.now <= s.told ? to(next) : start(next);
}

function wakeAsleep(s: State, event: Event): Step {
  const next = woken(s, event);
  return next.hiddenAt ? to(next) : start(next);
}

// Alive, or not

/** Asks the other side for a sign of life, and gives it little time: it has an answer ready if it lives. */
function probe(s: State, event: Event): Step {
  const { now, n } = s;
  const next = event.type === "suspect" || event.type === "timer" ? s : woken(s, event);
  // What has spoken since the page came back is no victim of its absence.
  const certain = event.type === "wake" && event.certain && now - s.heard >= YOUNG;
  const lateAt = now + (certain ? HEADSTART : hedge(s));
  const asked = { name: "doubt", sent: now, askedAt: now, lateAt, until: now + verdict(s), certain } as const;
  return to(next, asked, { type: "ping", n });
}

function dialSecond(s: State, ...effects: readonly Effect[]): Step {
  if (spent(s)) return to(s, { lateAt: NEVER }, ...effects);
  const n = s.dials + 1;
  return to(s, { second: { n, since: s.now, asked: false }, dials: n }, ...effects, { type: "dial", n });
}

const doubtTimer = (s: State): Step => (s.now < s.until ? dialSecond(s) : succeed(s, "no answer in time"));

/** The first socket is dead, or done: the second takes its place, as far as it has come. */
function succeed(s: State, reason: string): Step {
  const { second } = s;
  if (!second) return lost(s, reason);
  if (second.asked) return takeOver(s);
  const { n, since } = second;
  const dialing = { name: "dialing", n, since, until: s.now + dialTimeout(s), gateAt: since + SLOW } as const;
  return to(s, { ...dialing, second: undefined }, drop(s.n));
}

/** The server may still be busy with the hello; it takes frames in order, so that what is said now comes after it. */
function takeOver(s: State): Step {
  const { n, second = { n, since: 0 } } = s;
  return attach(s, second, drop(n), { type: "take", n: second.n });
}

/**
 * The second stands by while the first may still answer, or until the server leaves. But where the first is late, and has
 * not said a word since it was asked, hello says everything at once, which saves a round trip; so it does where a
 * connection cannot stand by.
 */
function secondOpened(s: State, { n, single }: Of<"opened">): Step {
  const mute = s.name === "doubt" && s.heard <= s.askedAt && s.now >= s.lateAt;
  const standby = !single && !mute;
  const hello: Effect = { type: "hello", n, standby };
  const second = { n, since: s.second?.since ?? s.now, asked: true };
  return standby ? to(s, { second }, hello) : attach(s, second, drop(s.n), hello);
}

function wakeInDoubt(s: State, event: Of<"wake">): Step {
  const { now, second } = s;
  const until = Math.min(s.until, now + verdict(s));
  const lateAt = event.certain ? Math.min(s.lateAt, now + HEADSTART) : s.lateAt;
  const next = { ...woken(s, event), until, lateAt, certain: s.certain || event.certain };
  if (!second || second.asked || isYoung(s, second.since)) return to(next);
  return dialSecond(spend(next), drop(second.n));
}

function pong(s: State, { rtt }: Of<"pong">): Step {
  const { now, second } = s;
  const live = { name: "live", heard: now, rtt: smoothed(s, rtt) } as const;
  // One that stands by because the server is about to leave stays; one that was dialed in doubt has lost.
  if (s.name === "live" || !second) return to(s, live);
  return to(second.asked ? s : spend(s), { ...live, second: undefined }, drop(second.n));
}

/** Frames that come while the pong is outstanding may be old ones out of a buffer, but a line that delivers gets time. */
const heardInDoubt = (s: State, { n }: Of<"heard">): Step =>
  n === s.n ? to(s, { heard: s.now, until: s.now + verdict(s) }) : to(s);

function beatOrProbe(s: State, event: Event): Step {
  if (s.now >= parkAt(s)) return sleep(s, event);
  if (s.now >= silentAt(s)) return probe(s, event);
  if (s.now >= s.moveAt) return dialSecond({ ...s, moveAt: NEVER });
  return s.now < s.sent + beatOf(s) ? to(s) : to(s, { sent: s.now }, { type: "ping", n: s.n });
}

// Where the server is about to leave

/** Another socket is to stand by, at some time that is this client's own, so that not all come at once. */
const move = (s: State, { spread }: Of<"move">): Step => to(s, s.second ? {} : { moveAt: s.now + s.random * spread });

// The end of a socket

/** What a close means, whether it came as a goodbye or as the socket's end. */
function closed(s: State, event: Of<"closed">): Step {
  const { n, code, after, spread = 0 } = event;
  const reason = event.reason || "connection lost";
  const refusals = s.refusals + 1;
  if (n !== s.n) return secondClosed(s);
  if (code === CLOSE_UNAUTHORIZED && refusals === 1) return start({ ...parted(s), refusals });
  if (!comesBack(code)) return ended(s, code, reason);
  if (s.name === "live" && s.second) return succeed(s, reason);
  if (after !== undefined) {
    const told = after + s.random * spread;
    return wait(parted(s), told, reason, { told });
  }
  if (s.name === "dialing" || s.name === "attaching") return dialFailed(s, reason);
  return s.name === "doubt" ? succeed(s, reason) : lost(s, reason);
}

/** A connection that was accepted and did not last counts as a failed dial, lest a server that does so be dialed on. */
function lost(s: State, reason: string): Step {
  const { stable } = s;
  const next = stable ? s : { ...spend(s), slammed: true };
  // What the browser cut while the page was stopped says nothing about the server.
  const cut = s.name === "doubt" && s.certain;
  return cut || (stable && !s.hiddenAt) ? start(next, reason) : backOff(next, reason);
}

/**
 * The first may still answer; until the verdict there is another try, where the failure was only a sleepy radio. Where the
 * server is about to leave, there is another one until it does.
 */
function secondClosed(s: State): Step {
  const { n, since, asked } = s.second ?? { n: s.n, since: 0, asked: true };
  const next = asked ? s : spend(s);
  const pause = ladder(next, since);
  const later = pause ? { lateAt: s.now + pause, rung: s.rung + 1 } : { lateAt: NEVER };
  const again = s.name === "live" ? { moveAt: s.now + MOVE_PAUSE } : later;
  return to(next, { ...again, second: undefined }, drop(n));
}

const secondUnauthorized = (s: State, { terminal, reason }: Of<"unauthorized">): Step =>
  terminal ? ended(s, CLOSE_UNAUTHORIZED, reason) : secondClosed(s);

// The table

/** What tells nothing new in a state. Each event is either here or in the state's row: the compiler demands it. */
interface Ignored {
  idle: Exclude<Event["type"], "connect">;
  dialing: "connect" | "suspect" | "stable" | "ready" | "welcomed" | "heard" | "pong" | "sent" | "move";
  attaching: Ignored["dialing"] extends infer E ? Exclude<E, "welcomed"> | "gate" | "unauthorized" | "opened" : never;
  live: "connect" | "gate" | "ready" | "welcomed";
  doubt: "connect" | "retry" | "suspect" | "stable" | "gate" | "welcomed" | "move";
  waiting: Exclude<Event["type"], "connect" | "disconnect" | "retry" | "wake" | "hidden" | "sleep" | "gate" | "timer">;
  asleep: Exclude<Event["type"], "connect" | "disconnect" | "retry" | "wake" | "hidden">;
  ended: Exclude<Event["type"], "connect" | "disconnect">;
}

type Table = {
  readonly [S in State["name"]]: {
    readonly [E in Exclude<Event["type"], Ignored[S]>]: (state: State, event: Of<E>) => Step;
  };
};

const said = (s: State): Step => to(s, { sent: s.now });

const TABLE: Table = {
  idle: { connect: anew },
  dialing: {
    disconnect: hangUp,
    retry: redial,
    wake: redial,
    hidden,
    sleep,
    gate: gateBeside,
    unauthorized: noToken,
    opened: (s, { n }) => attach(s, s, { type: "hello", n, standby: false }),
    closed,
    timer: slow,
  },
  attaching: { disconnect: hangUp, retry: redial, wake: redial, hidden, sleep, welcomed, closed, timer: late },
  live: {
    disconnect: hangUp,
    retry: probe,
    wake: probe,
    hidden,
    sleep,
    suspect: probe,
    // By now nothing loads any more: a round trip that can be relied on.
    stable: (s) => to(settle(s), { sent: s.now, stable: true }, { type: "ping", n: s.n }),
    heard: (s, { n }) => to(s, n === s.n ? { heard: s.now } : {}),
    pong,
    sent: said,
    move,
    unauthorized: secondUnauthorized,
    opened: secondOpened,
    closed,
    timer: beatOrProbe,
  },
  doubt: {
    disconnect: hangUp,
    wake: wakeInDoubt,
    hidden,
    sleep,
    unauthorized: secondUnauthorized,
    opened: secondOpened,
    ready: takeOver,
    heard: heardInDoubt,
    pong,
    sent: said,
    closed,
    timer: doubtTimer,
  },
  waiting: {
    connect: wakeWaiting,
    disconnect: hangUp,
    retry: wakeWaiting,
    wake: wakeWaiting,
    hidden,
    sleep,
    gate: gateAnswered,
    timer: waited,
  },
  asleep: { connect: wakeAsleep, disconnect: hangUp, retry: wakeAsleep, wake: wakeAsleep, hidden },
  ended: { connect: anew, disconnect: hangUp },
};
