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
import type { Effect, Event, Memory, Moment, State, Step } from "./connection-types.ts";
import { awake, backoff, dialTimeout, hedge, ladder, mayRedial, needsGate } from "./pace.ts";
import { penance, settle, smoothed, spend, spent, verdict } from "./pace.ts";

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
const NEVER = Number.POSITIVE_INFINITY;

export const INITIAL: State = {
  name: "idle",
  memory: {
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
  },
};

/** When the timer event is due; undefined in a state that may last. */
export function deadline(s: State): number | undefined {
  switch (s.name) {
    case "live":
      return Math.min(silentAt(s), s.sent + beatOf(s), parkAt(s.memory), s.moveAt);
    case "dialing":
      return Math.min(s.until, s.gateAt);
    case "doubt":
      return s.second ? s.until : Math.min(s.until, s.lateAt);
  }
  return "until" in s ? s.until : undefined;
}

/** Whether a client that was given the code should come back; see holdfast.CloseCode. */
export const comesBack = (code: number) => code !== 1000 && (code < 4500 || code > 4999);

export function step(state: State, event: Event, at: Moment): Step {
  // That the cell's types are those of this pair is what the compiler cannot follow.
  const row = TABLE[state.name] as { readonly [type: string]: Cell | undefined };
  // What a socket says that was dropped meanwhile counts no more.
  const stale = "n" in event && !sockets(state).includes(event.n);
  return (!stale && row[event.type]?.(state, event, at)) || stay(state);
}

type Named<S extends State["name"]> = Extract<State, { name: S }>;
type Of<E extends Event["type"]> = Extract<Event, { type: E }>;
type Cell = (state: State, event: Event, at: Moment) => Step;
type Dialing = Named<"dialing" | "attaching">;
type Living = Named<"live" | "doubt">;
type Bye = "" | "leave" | "park";

const silentAt = (s: Living) => s.heard + beatOf(s) * 1.2;
const beatOf = (s: Living) => (s.memory.hiddenAt ? s.rest : s.beat);
const parkAt = (m: Memory) => (m.hiddenAt ? m.hiddenAt + m.linger : NEVER);
export const sockets = (s: State) => [...("n" in s ? [s.n] : []), ...("second" in s && s.second ? [s.second.n] : [])];

const stay = (state: State, ...effects: readonly Effect[]): Step => ({ state, effects });
const drop = (n: number, bye: Bye = ""): Effect => ({ type: "drop", n, bye });
/** Lets go of all sockets. */
const drops = (s: State, bye: Bye = "") => sockets(s).map((n) => drop(n, bye));

// On the way

/** Dials now, or asks the gate first. */
function start(memory: Memory, at: Moment, effects: readonly Effect[] = [], reason = "connection lost"): Step {
  return needsGate(memory, at.now)
    ? stay(waiting(memory, at.now + GATE_TIMEOUT, reason, 0, true), ...effects, { type: "gate" })
    : dial(memory, at, effects);
}

function dial(m: Memory, { now }: Moment, effects: readonly Effect[] = []): Step {
  const n = m.dials + 1;
  const [until, gateAt] = [now + dialTimeout(m, now), now + SLOW];
  const memory = { ...m, dials: n };
  return stay({ name: "dialing", n, since: now, until, gateAt, memory }, ...effects, { type: "dial", n });
}

const waiting = (memory: Memory, until: number, reason: string, told = 0, asking = false): State => ({
  name: "waiting",
  until,
  reason,
  asking,
  told,
  memory,
});

/** Waits as the server says. */
const wait = (m: Memory, { now }: Moment, told: number, reason: string, effects: readonly Effect[] = []): Step =>
  stay(waiting(m, now + told, reason, told), ...effects);

function backOff(m: Memory, at: Moment, reason: string, effects: readonly Effect[] = []): Step {
  const memory = { ...m, outageAt: m.outageAt || at.now, attempts: m.attempts + 1 };
  return stay(waiting(memory, at.now + backoff(m, at), reason), ...effects);
}

/** Begins as if nothing had failed before: the application asked for it. */
const anew = ({ memory }: State, _: Event, at: Moment) =>
  start({ ...memory, attempts: 0, refusals: 0, outageAt: 0, hiddenAt: 0 }, at);

/** The memory once all sockets are let go of: browsers count those that were connecting as failed. */
const parted = (s: State, { now }: Moment): Memory =>
  s.name === "dialing" || ("second" in s && s.second && !s.second.asked) ? spend(s.memory, now) : s.memory;

const hangUp = (s: State, _: Event, at: Moment): Step =>
  stay({ name: "idle", memory: parted(s, at) }, ...drops(s, "leave"));

const sleep = (s: State, event: Event, at: Moment): Step =>
  stay(
    { name: "asleep", memory: parted(s, at) },
    ...drops(s, event.type === "sleep" && !event.park ? "leave" : "park"),
  );

const ended = (s: State, at: Moment, code: number, reason: string): Step =>
  stay({ name: "ended", code, reason, memory: parted(s, at) }, ...drops(s));

/** What a wake changes, whatever the state. */
const woken = <S extends State>(s: S, event: Event, { now }: Moment): S => ({
  ...s,
  memory: awake(s.memory, now, event.type === "wake" && event.hidden),
});

const hidden = (s: State, { linger }: Of<"hidden">, { now }: Moment): Step =>
  stay({ ...s, memory: { ...s.memory, hiddenAt: s.memory.hiddenAt || now, linger } });

function attach(
  { n, since }: Dialing | { n: number; since: number },
  m: Memory,
  { now }: Moment,
  ...effects: Effect[]
) {
  return stay({ name: "attaching", n, since, until: now + dialTimeout(m, now), memory: m }, ...effects);
}

function dialFailed(s: Dialing, at: Moment, reason: string): Step {
  const memory = spend(s.memory, at.now);
  const pause = ladder(memory, s.since, at);
  if (!pause) return backOff(memory, at, reason, drops(s));
  return stay(waiting({ ...memory, rung: memory.rung + 1 }, at.now + pause, reason), ...drops(s));
}

const late = (s: Dialing, _: Event, at: Moment) => dialFailed(s, at, "no answer in time");

/** The deadline of a dial, or the time to ask whether it is worth waiting for. */
const slow = (s: Named<"dialing">, event: Event, at: Moment): Step =>
  at.now < s.until ? stay({ ...s, gateAt: NEVER }, { type: "gate" }) : late(s, event, at);

/** A dial that was begun in a dead network does not notice that it healed; the gate does. */
function gateBeside(s: Named<"dialing">, { ok }: Of<"gate">, at: Moment): Step {
  const { memory: m } = s;
  if (s.gateAt < NEVER) return stay(s);
  if (!ok || !mayRedial(m, at.now)) return stay({ ...s, gateAt: at.now + GATE_PAUSE });
  return dial({ ...spend(m, at.now), redialAt: at.now, approvedAt: at.now, attempts: m.attempts + 1 }, at, drops(s));
}

/** A negative age means that the clock was set back. */
const isYoung = ({ since }: { readonly since: number }, { now }: Moment) => now >= since && now - since < YOUNG;

/** A dial that was begun before a sleep may never end, and it blocks every other to the same host: begin another. */
function redial(s: Dialing, event: Event, at: Moment): Step {
  const next = woken(s, event, at);
  return isYoung(s, at) ? stay(next) : start(spend(next.memory, at.now), at, drops(s));
}

function welcomed(s: Named<"attaching">, { n, beat, rest, rtt }: Of<"welcomed">, { now }: Moment): Step {
  const memory = { ...s.memory, refusals: 0, rtt: smoothed(s.memory.rtt, rtt) };
  const fresh = { heard: now, sent: now, stable: false, moveAt: NEVER, second: undefined };
  return stay({ name: "live", n, beat, rest, ...fresh, memory });
}

function noToken(s: State, { terminal, dialed, reason }: Of<"unauthorized">, at: Moment): Step {
  if (terminal) return ended(s, at, CLOSE_UNAUTHORIZED, reason);
  return backOff(dialed ? spend(s.memory, at.now) : s.memory, at, reason, drops(s));
}

// Waiting

function waited(s: Named<"waiting">, event: Event, at: Moment): Step {
  const { memory: m, reason } = s;
  // Nobody looks: what a battery pays for every dial is worth nothing then.
  if (m.hiddenAt && at.now - m.hiddenAt >= m.linger / 2) return sleep(s, event, at);
  return s.asking ? gateAnswered(s, { type: "gate", ok: false }, at) : start(m, at, [], reason);
}

function gateAnswered(s: Named<"waiting">, { ok, after }: Of<"gate">, at: Moment): Step {
  const { memory: m, reason, asking } = s;
  if (!asking) return stay(s);
  const memory = { ...m, approvedAt: ok ? at.now : 0 };
  if (!ok) return after ? wait(memory, at, after + backoff(m, at), reason) : backOff(memory, at, reason);
  const until = penance(m, at.now);
  return until ? stay(waiting(memory, until, reason)) : dial(memory, at);
}

/** A wake dials at once, unless the server has said when to come, and the clock was not set back since. */
function wakeWaiting(s: Named<"waiting">, event: Event, at: Moment): Step {
  const next = woken(s, event, at);
  return event.type === "wake" && s.told && s.until - at.now <= s.told ? stay(next) : start(next.memory, at);
}

function wakeAsleep(s: Named<"asleep">, event: Event, at: Moment): Step {
  const next = woken(s, event, at);
  return next.memory.hiddenAt ? stay(next) : start(next.memory, at);
}

// Alive, or not

/** Asks the other side for a sign of life, and gives it little time: it has an answer ready if it lives. */
function probe(s: Living, event: Event, at: Moment): Step {
  const { now } = at;
  const asks = event.type === "wake" || event.type === "retry";
  const { memory } = asks ? woken(s, event, at) : s;
  // What has spoken since the page came back is no victim of its absence.
  const certain = event.type === "wake" && event.certain && now - s.heard >= YOUNG;
  const [lateAt, until] = [now + hedge(memory), now + verdict(memory)];
  const doubt = {
    ...s,
    name: "doubt",
    sent: now,
    askedAt: now,
    lateAt,
    until,
    certain,
    memory,
  } as const;
  const ping: Effect = { type: "ping", n: s.n };
  return certain && !s.second ? dialSecond(doubt, now, ping) : stay(doubt, ping);
}

function dialSecond(s: Named<"doubt">, now: number, ...effects: readonly Effect[]): Step {
  const { memory: m } = s;
  if (spent(m, now)) return stay({ ...s, lateAt: NEVER }, ...effects);
  const n = m.dials + 1;
  const second = { n, since: now, asked: false };
  return stay({ ...s, second, memory: { ...m, dials: n } }, ...effects, { type: "dial", n });
}

const doubtTimer = (s: Named<"doubt">, _: Event, at: Moment): Step =>
  at.now < s.until ? dialSecond(s, at.now) : succeed(s, at, "no answer in time");

/** The first socket is dead, or done: the second takes its place, as far as it has come. */
function succeed(s: Living, at: Moment, reason: string): Step {
  const { second, memory } = s;
  if (!second) return lost(s, at, reason);
  if (second.asked) return takeOver(s, at);
  const until = at.now + dialTimeout(memory, at.now);
  return stay({ name: "dialing", ...second, until, gateAt: second.since + SLOW, memory }, drop(s.n));
}

/** The server may still be busy with the hello; it takes frames in order, so that what is said now comes after it. */
function takeOver(s: Living, at: Moment): Step {
  const { n, second = { n, since: 0 }, memory } = s;
  return attach(second, memory, at, drop(n), { type: "take", n: second.n });
}

/**
 * The second stands by while the first may still answer. But where that is late, and has not said a word since it was
 * asked, or all speaks against it anyway, hello says everything at once, which saves a round trip; so it does where a
 * connection cannot stand by.
 */
function secondOpened(s: Named<"doubt">, { n, single }: Of<"opened">, at: Moment): Step {
  const mute = s.certain || s.heard <= s.askedAt;
  const standby = !single && !(mute && at.now >= s.lateAt);
  const hello: Effect = { type: "hello", n, standby };
  const second = { n, since: s.second?.since ?? at.now, asked: true };
  return standby ? stay({ ...s, second }, hello) : attach(second, s.memory, at, drop(s.n), hello);
}

function wakeInDoubt(s: Named<"doubt">, event: Of<"wake">, at: Moment): Step {
  const next = woken(s, event, at);
  const { second, memory: m } = next;
  const until = Math.min(s.until, at.now + verdict(m));
  const doubt = { ...next, until, certain: s.certain || event.certain };
  if (second ? second.asked || isYoung(second, at) : !event.certain) return stay(doubt);
  if (!second) return dialSecond(doubt, at.now);
  return dialSecond({ ...doubt, memory: spend(m, at.now) }, at.now, drop(second.n));
}

function pong(s: Living, { rtt }: Of<"pong">, { now }: Moment): Step {
  const second = s.name === "doubt" ? s.second : undefined;
  const m = second && !second.asked ? spend(s.memory, now) : s.memory;
  const kept = second ? undefined : s.second;
  const state: State = { ...s, name: "live", heard: now, second: kept, memory: { ...m, rtt: smoothed(m.rtt, rtt) } };
  return stay(state, ...(second ? [drop(second.n)] : []));
}

/** Frames that come while the pong is outstanding may be old ones out of a buffer, but a line that delivers gets time. */
const heardInDoubt = (s: Named<"doubt">, { n }: Of<"heard">, { now }: Moment): Step =>
  stay(n === s.n ? { ...s, heard: now, until: now + verdict(s.memory) } : s);

function beatOrProbe(s: Named<"live">, event: Event, at: Moment): Step {
  if (at.now >= parkAt(s.memory)) return sleep(s, event, at);
  if (at.now >= silentAt(s)) return probe(s, event, at);
  if (at.now >= s.moveAt) return standBy(s, at);
  return at.now < s.sent + beatOf(s) ? stay(s) : stay({ ...s, sent: at.now }, { type: "ping", n: s.n });
}

// Where the server is about to leave

/** Another socket is to stand by, at some time that is this client's own, so that not all come at once. */
const move = (s: Named<"live">, { spread }: Of<"move">, at: Moment): Step =>
  stay(s.second ? s : { ...s, moveAt: at.now + at.random * spread });

function standBy(s: Named<"live">, { now }: Moment): Step {
  const { memory: m } = s;
  if (spent(m, now)) return stay({ ...s, moveAt: NEVER });
  const n = m.dials + 1;
  const second = { n, since: now, asked: false };
  return stay({ ...s, moveAt: NEVER, second, memory: { ...m, dials: n } }, { type: "dial", n });
}

/** One that cannot stand by takes over at once. */
function movedOpened(s: Named<"live">, { n, single }: Of<"opened">, at: Moment): Step {
  const second = { n, since: s.second?.since ?? at.now, asked: true };
  const hello: Effect = { type: "hello", n, standby: !single };
  return single ? attach(second, s.memory, at, drop(s.n), hello) : stay({ ...s, second }, hello);
}

/** The first lives on; until it ends there is another try. */
function movedClosed(s: Named<"live">, at: Moment): Step {
  const { n, asked } = s.second ?? { n: s.n, asked: true };
  const memory = asked ? s.memory : spend(s.memory, at.now);
  return stay({ ...s, second: undefined, moveAt: at.now + MOVE_PAUSE, memory }, drop(n));
}

const movedUnauthorized = (s: Named<"live">, { terminal, reason }: Of<"unauthorized">, at: Moment): Step =>
  terminal ? ended(s, at, CLOSE_UNAUTHORIZED, reason) : movedClosed(s, at);

// The end of a socket

/** What a close means, whether it came as a goodbye or as the socket's end. */
function closed(s: Dialing | Living, event: Of<"closed">, at: Moment): Step {
  const { n, code, reason, after, spread = 0 } = { ...event, reason: event.reason || "connection lost" };
  if (n !== s.n) return s.name === "live" ? movedClosed(s, at) : secondClosed(s as Named<"doubt">, at);
  const refusals = s.memory.refusals + 1;
  if (code === CLOSE_UNAUTHORIZED && refusals === 1) return start({ ...parted(s, at), refusals }, at, drops(s));
  if (!comesBack(code)) return ended(s, at, code, reason);
  if (s.name === "live" && s.second) return succeed(s, at, reason);
  if (after !== undefined) return wait(parted(s, at), at, after + at.random * spread, reason, drops(s));
  if (s.name === "dialing" || s.name === "attaching") return dialFailed(s, at, reason);
  return s.name === "doubt" ? succeed(s, at, reason) : lost(s, at, reason);
}

/** A connection that was accepted and did not last counts as a failed dial, lest a server that does so be dialed on. */
function lost(s: Living, at: Moment, reason: string): Step {
  const { stable, memory: m } = s;
  if (stable && !m.hiddenAt) return start(m, at, drops(s), reason);
  return backOff(stable ? m : spend(m, at.now), at, reason, drops(s));
}

/** The first may still answer; until the verdict there is another try, where the failure was only a sleepy radio. */
function secondClosed(s: Named<"doubt">, at: Moment): Step {
  const { n, since, asked } = s.second ?? { n: s.n, since: 0, asked: true };
  const memory = asked ? s.memory : spend(s.memory, at.now);
  const pause = ladder(memory, since, at);
  const lateAt = pause ? at.now + pause : NEVER;
  return stay({ ...s, second: undefined, lateAt, memory: { ...memory, rung: memory.rung + (pause ? 1 : 0) } }, drop(n));
}

const secondUnauthorized = (s: Named<"doubt">, { terminal, reason }: Of<"unauthorized">, at: Moment): Step =>
  terminal ? ended(s, at, CLOSE_UNAUTHORIZED, reason) : secondClosed(s, at);

// The table

/** What tells nothing new in a state. Each event is either here or in the state's row: the compiler demands it. */
interface Ignored {
  idle: Exclude<Event["type"], "connect" | "retry">;
  dialing: "connect" | "suspect" | "stable" | "ready" | "welcomed" | "heard" | "pong" | "sent" | "move";
  attaching: Ignored["dialing"] extends infer E ? Exclude<E, "welcomed"> | "gate" | "unauthorized" | "opened" : never;
  live: "connect" | "gate" | "ready" | "welcomed";
  doubt: "connect" | "retry" | "suspect" | "stable" | "gate" | "welcomed" | "move";
  waiting: Exclude<Event["type"], "connect" | "disconnect" | "retry" | "wake" | "hidden" | "sleep" | "gate" | "timer">;
  asleep: Exclude<Event["type"], "connect" | "disconnect" | "retry" | "wake" | "hidden">;
  ended: Exclude<Event["type"], "connect" | "disconnect" | "retry">;
}

type Table = {
  readonly [S in State["name"]]: {
    readonly [E in Exclude<Event["type"], Ignored[S]>]: (state: Named<S>, event: Of<E>, at: Moment) => Step;
  };
};

const said = (s: Living, _: Event, { now }: Moment): Step => stay({ ...s, sent: now });

const TABLE: Table = {
  idle: { connect: anew, retry: anew },
  dialing: {
    disconnect: hangUp,
    retry: redial,
    wake: redial,
    hidden,
    sleep,
    gate: gateBeside,
    unauthorized: noToken,
    opened: (s, { n }, at) => attach(s, s.memory, at, { type: "hello", n, standby: false }),
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
    stable: (s) => stay({ ...s, stable: true, memory: settle(s.memory) }),
    heard: (s, { n }, { now }) => stay(n === s.n ? { ...s, heard: now } : s),
    pong,
    sent: said,
    move,
    unauthorized: movedUnauthorized,
    opened: movedOpened,
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
    ready: (s, _, at) => takeOver(s, at),
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
  ended: { connect: anew, disconnect: hangUp, retry: anew },
};
