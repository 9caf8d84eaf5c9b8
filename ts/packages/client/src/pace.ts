/** How fast to come back: the numbers, and what follows from them. */
import type { State } from "./connection-types.ts";

/** Failed dials that a browser forgives: at most so many within the window. */
const BUDGET = 8;
const WINDOW = 120_000;
/** After so many failures the gate is asked before each dial. */
const EAGER = 4;
/**
 * A gate that says no may be wrong, where a proxy stands before it: so long after the last failed dial it is not believed.
 * The pause is this part of the outage, within these limits; where the budget is spent, it is the longest.
 */
const BLIND = 1 / 4;
const SOON = 2_500;
const RARELY = 30_000;
/** The most that a server is spared. */
const MERCY = 60_000;
/** The first pause, which doubles with each failure. */
const FIRST = 250;
/** A slow dial is given up for the gate's sake at most so often, lest a slow network have none that comes through. */
const REDIAL = 3_000;
const WAKE_WINDOW = 10_000;
/** iOS fails the first requests after a wake at once; these pauses bridge the time until it does not. */
const LADDER = [30, 100, 250, 500, 1_000];
/** A machine that has just been woken is slow even in that. */
const AT_ONCE = 150;

const recent = (s: State) => s.failed.filter((t) => Math.abs(s.now - t) < WINDOW);

/** Whether no dial may be made that could fail. */
export const spent = (s: State) => recent(s).length >= BUDGET;

/** A dial has failed, or was given up before it was open: browsers count both. */
export const spend = (s: State): State => ({ ...s, failed: [...recent(s), s.now], slammed: false });

/** The connection has proved itself: the outage is over, and some failures are forgiven. */
export const settle = (s: State): State => ({
  ...s,
  attempts: 0,
  outageAt: 0,
  approvedAt: 0,
  failed: s.failed.slice(2),
});

/** Somebody looks, or something happened: begins anew with small pauses, but not with a new budget. */
export const awake = (s: State, hidden: boolean): State => ({
  ...s,
  attempts: 0,
  wakeUntil: s.now + WAKE_WINDOW,
  rung: 0,
  hiddenAt: hidden ? s.hiddenAt || s.now : 0,
});

/** Whether to ask the gate before the next dial. */
export const needsGate = (s: State) => spent(s) || s.attempts >= EAGER;

/** For how long a gate's no is still to be believed. */
export function trust(s: State): number {
  const pause = spent(s) ? RARELY : Math.min(RARELY, Math.max(SOON, outage(s) * BLIND));
  return Math.max(0, pause - Math.abs(s.now - (s.failed.at(-1) ?? 0)));
}

/**
 * Until when a dial that the gate approves has to wait all the same. A server that accepts connections and ends them is
 * spared more each time. A gate that had said yes before, and never no since, is wrong about dials: then the budget
 * counts, but to wait until there is one again would cost more than the browser's delay. And a wake has one dial at once:
 * somebody looks.
 */
export function penance(s: State): number {
  const last = s.failed.at(-1) ?? 0;
  const wrong = spent(s) && Math.abs(s.now - s.approvedAt) < WINDOW;
  const pause = Math.max(wrong ? WINDOW / BUDGET : 0, s.slammed ? Math.min(MERCY, 2 * FIRST * 2 ** s.attempts) : 0);
  const woken = s.now < s.wakeUntil && last < s.wakeUntil - WAKE_WINDOW;
  return woken || Math.abs(s.now - last) >= pause ? 0 : last + pause;
}

/** A gate that has just said no, and now says yes, tells of a line that has healed: what was dialed before is lost. */
export const mayRedial = (s: State) =>
  s.approvedAt === 0 || (!spent(s) && Math.abs(s.now - s.redialAt) >= REDIAL * 2 ** s.attempts);

/** How long a dial may take: it blocks all others, so it is short while the user waits, and grows for slow networks. */
export const dialTimeout = (s: State) => Math.min(10_000, (s.now < s.wakeUntil ? 1_500 : 4_000) * 1.6 ** s.attempts);

/**
 * What a page that was stopped waits before it dials beside a connection that hardly lives. A browser that has cut the
 * connection says so within milliseconds, and then hello can go with the dial. And where the connection lives after all,
 * its pong is on the way for so much longer than anything of the second's, and comes first.
 */
export const HEADSTART = 20;

/** When a pong is late: a little more than it takes. */
export const hedge = (s: State) => Math.min(400, Math.max(60, 1.5 * s.rtt + 30));

/** When a connection that does not answer is given up. A radio that wakes takes a second. */
export const verdict = (s: State) => Math.min(2_000, Math.max(1_000, 2 * s.rtt + 200));

/** The pause after a dial that failed at once just after a wake; 0 for a failure like others. */
export function ladder(s: State, since: number): number {
  const pause = s.now < s.wakeUntil && s.now - since < AT_ONCE && LADDER[s.rung];
  return (pause || 0) * (0.5 + s.random / 2);
}

const outage = (s: State) => s.now - (s.outageAt || s.now);

/** Full jitter under a cap that grows with the outage: the sooner it is over, the sooner the user should be back. */
export function backoff(s: State): number {
  const age = outage(s);
  const cap = age < 120_000 ? 2_500 : age < 300_000 ? 8_000 : 20_000;
  const [first, most] = s.hiddenAt ? [2_000, 60_000] : [FIRST, cap];
  return s.random * Math.min(most, first * 2 ** s.attempts);
}

/**
 * A round trip that takes long tells of a busy machine as often as of a long line, above all the first one, while the page
 * is loading; one that takes less tells the truth, and counts at once.
 */
export const smoothed = ({ rtt }: State, sample: number) => (rtt ? Math.min(sample, rtt + (sample - rtt) / 8) : sample);
