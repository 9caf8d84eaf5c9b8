/** How fast to come back: the numbers, and what follows from them. */
import type { Memory, Moment } from "./connection-types.ts";

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
const SOON = 1_500;
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

const recent = (m: Memory, now: number) => m.failed.filter((t) => Math.abs(now - t) < WINDOW);

/** Whether no dial may be made that could fail. */
export const spent = (m: Memory, now: number) => recent(m, now).length >= BUDGET;

/** A dial has failed, or was given up before it was open: browsers count both. */
export const spend = (m: Memory, now: number): Memory => ({ ...m, failed: [...recent(m, now), now], slammed: false });

/** The connection has proved itself: the outage is over, and some failures are forgiven. */
export const settle = (m: Memory): Memory => ({
  ...m,
  attempts: 0,
  outageAt: 0,
  approvedAt: 0,
  failed: m.failed.slice(2),
});

/** Somebody looks, or something happened: begins anew with small pauses, but not with a new budget. */
export const awake = (m: Memory, now: number, hidden: boolean): Memory => ({
  ...m,
  attempts: 0,
  wakeUntil: now + WAKE_WINDOW,
  rung: 0,
  hiddenAt: hidden ? m.hiddenAt || now : 0,
});

/** Whether to ask the gate before the next dial. */
export const needsGate = (m: Memory, now: number) => spent(m, now) || m.attempts >= EAGER;

/** Whether a gate's no is to be believed. */
export function believed(m: Memory, now: number): boolean {
  const pause = spent(m, now) ? RARELY : Math.min(RARELY, Math.max(SOON, outage(m, now) * BLIND));
  return Math.abs(now - (m.failed.at(-1) ?? 0)) < pause;
}

/**
 * Until when a dial that the gate approves has to wait all the same. A server that accepts connections and ends them is
 * spared more each time. A gate that had said yes before, and never no since, is wrong about dials: then the budget
 * counts, but to wait until there is one again would cost more than the browser's delay. And a wake has one dial at once:
 * somebody looks.
 */
export function penance(m: Memory, now: number): number {
  const last = m.failed.at(-1) ?? 0;
  const wrong = spent(m, now) && Math.abs(now - m.approvedAt) < WINDOW;
  const pause = Math.max(wrong ? WINDOW / BUDGET : 0, m.slammed ? Math.min(MERCY, 2 * FIRST * 2 ** m.attempts) : 0);
  const woken = now < m.wakeUntil && last < m.wakeUntil - WAKE_WINDOW;
  return woken || Math.abs(now - last) >= pause ? 0 : last + pause;
}

/** A gate that has just said no, and now says yes, tells of a line that has healed: what was dialed before is lost. */
export const mayRedial = (m: Memory, now: number) =>
  m.approvedAt === 0 || (!spent(m, now) && Math.abs(now - m.redialAt) >= REDIAL * 2 ** m.attempts);

/** How long a dial may take: it blocks all others, so it is short while the user waits, and grows for slow networks. */
export const dialTimeout = (m: Memory, now: number) =>
  Math.min(10_000, (now < m.wakeUntil ? 1_500 : 4_000) * 1.6 ** m.attempts);

/**
 * What a page that was stopped waits before it dials beside a connection that hardly lives. A browser that has cut the
 * connection says so within milliseconds, and then hello can go with the dial. And where the connection lives after all,
 * its pong is on the way for so much longer than anything of the second's, and comes first.
 */
export const HEADSTART = 20;

/** When a pong is late: a little more than it takes. */
export const hedge = (m: Memory) => Math.min(400, Math.max(60, 1.5 * m.rtt + 30));

/** When a connection that does not answer is given up. A radio that wakes takes a second. */
export const verdict = (m: Memory) => Math.min(2_000, Math.max(1_000, 2 * m.rtt + 200));

/** The pause after a dial that failed at once just after a wake; 0 for a failure like others. */
export function ladder(m: Memory, since: number, { now, random }: Moment): number {
  const pause = now < m.wakeUntil && now - since < AT_ONCE && LADDER[m.rung];
  return (pause || 0) * (0.5 + random / 2);
}

const outage = (m: Memory, now: number) => now - (m.outageAt || now);

/** Full jitter under a cap that grows with the outage: the sooner it is over, the sooner the user should be back. */
export function backoff(m: Memory, { now, random }: Moment): number {
  const age = outage(m, now);
  const cap = age < 120_000 ? 2_500 : age < 300_000 ? 8_000 : 20_000;
  const [first, most] = m.hiddenAt ? [2_000, 60_000] : [FIRST, cap];
  return random * Math.min(most, first * 2 ** m.attempts);
}

/**
 * A round trip that takes long tells of a busy machine as often as of a long line, above all the first one, while the page
 * is loading; one that takes less tells the truth, and counts at once.
 */
export const smoothed = (rtt: number, sample: number) => (rtt ? Math.min(sample, rtt + (sample - rtt) / 8) : sample);
