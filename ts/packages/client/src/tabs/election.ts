/**
 * Who leads, as a pure function of what one tab sees. It decides for speed alone: that no entry is lost or doubled rests on
 * the cursors, and that of two leaders one yields rests on the server, which lets only the highest generation of a client
 * live.
 *
 *     leader seen      | visible and fresh | hidden and fresh | stale         | none
 *     -----------------+-------------------+------------------+---------------+-----------------------
 *     I am visible     | follow            | steal, or follow | steal, or be  | steal, after a moment if
 *                      |                   | if I may not     | alone         | none resigned, or be alone
 *     I am hidden      | follow            | follow           | wait for the  | wait for the lock, after
 *                      |                   |                  | lock          | those who are visible
 *
 * Who is given the lock leads: its last holder is gone. A tab that nobody hears is alone.
 */
export interface Sight {
  readonly now: number;
  /** Whether somebody looks at this tab; whether others can hear it. */
  readonly visible: boolean;
  readonly deaf: boolean;
  readonly leading: boolean;
  /** Whether this tab holds the lock. */
  readonly granted: boolean;
  readonly leader: { readonly visible: boolean; readonly at: number } | undefined;
  /** Since when there is no leader, and whether the last one has said so. */
  readonly vacant: number;
  readonly resigned: boolean;
  /** When this tab took over from another. */
  readonly steals: readonly number[];
}

export type Verdict = "follow" | "wait" | "lead" | "steal" | "alone";

/** A lease is good for so long, in ms: two may be late. */
export const LEASE = 2_500;
/** How long whoever gets the lock has to say so; so long, too, hidden tabs leave it to visible ones. */
export const MOMENT = 150;
const STEALS_APART = 10_000;
const STEALS_A_MINUTE = 3;
const MINUTE = 60_000;

export function decide(s: Sight): Verdict {
  if (s.deaf) return "alone";
  if (s.leading || s.granted) return "lead";
  if (!s.leader) {
    const fresh = s.now - s.vacant < MOMENT;
    if (!s.visible) return fresh ? "follow" : "wait";
    // To wait for a lock that a page is giving back, on its way to the back/forward cache, may throw the page out of it.
    if (fresh && !(s.resigned && maySteal(s))) return "wait";
    return maySteal(s) ? "steal" : "alone";
  }
  const fresh = isFresh(s.leader.at, s.now);
  if (!s.visible) return fresh ? "follow" : "wait";
  if (fresh && s.leader.visible) return "follow";
  if (maySteal(s)) return "steal";
  return fresh ? "follow" : "alone";
}

/** A clock that was set back makes no lease last for ever. */
export const isFresh = (at: number, now: number) => Math.abs(now - at) <= LEASE;

function maySteal({ steals, now }: Sight): boolean {
  const lately = steals.filter((at) => now - at < MINUTE);
  return lately.length < STEALS_A_MINUTE && lately.every((at) => now - at >= STEALS_APART);
}
