/** How a leader answers a tab's subscription out of what it holds itself, as a server would out of the log. */
import { type Entry, isOpenRequest } from "../entry.ts";
import type { SessionState } from "../session-state.ts";
import type { BodyItem, Cursor, EntryFrame, RunFrame, SessionFrame, SubFrame, SubItem } from "../wire.ts";

/** What is held of a session: what a reader has, and the tags of the entries, as far as they are known. */
export interface Held {
  readonly state: SessionState;
  readonly tags: ReadonlyMap<number, number>;
}

/** The server's own default. */
const LAST = 50;

/**
 * The frames that bring a reader exactly to where the holder is. "older" if more has to be held for that, "later" if the
 * reader is ahead, which it can be for a moment after it has changed leaders. `force` makes the best of what is there.
 */
export function answer(held: Held, sub: SubItem, force: boolean): readonly SessionFrame[] | "older" | "later" {
  const { s, last, cur } = sub;
  const { phase, refusal, epoch, have, first, more, entries } = held.state;
  if (phase === "denied") {
    return [{ t: "sub", s, outcome: "denied", code: refusal?.code ?? "forbidden", msg: refusal?.message ?? "" }];
  }
  if (cur && (cur.e === epoch || cur.e === "")) {
    const ahead = isAhead(held.state, cur);
    if (ahead && !force) return "later";
    const reaches = cur.o >= first - 1 && (cur.r ?? []).every(([o]) => entries.some((e) => e.offset === o));
    if (reaches && !ahead && fits(held, cur)) return goingOn(held, s, cur);
    if (!reaches && more && !force) return "older";
  }
  const recent = entries.filter((e) => e.offset >= first);
  const count = last || LAST;
  if (recent.length < count && more && !force) return "older";
  const shown = recent.slice(-count);
  const from = shown.length < recent.length ? (shown[0]?.offset ?? first) : first;
  // Open runs, open requests and the latest states matter wherever they stand.
  const before = entries.filter(
    (e) => e.offset < from && (e.kind === "state" || isOpen(e) || isOpenRequest(e, entries)),
  );
  const outcome = cur?.e && cur.e !== epoch ? "lost" : "snapshot";
  const sent = answered(s, outcome, epoch, from, have, more || from > first);
  return [sent, ...before.map((e) => frameOf(s, e, 0)), ...rest(held, s, from - 1), { t: "live", s, o: have }];
}

const isOpen = (e: Entry | undefined) => e?.kind === "run" && e.status === "open";

function isAhead({ have, entries }: SessionState, cur: Cursor): boolean {
  const further = ([o, n]: readonly [number, number, number]) =>
    entries.some((e) => e.offset === o && e.kind === "run" && e.fragments < n);
  return cur.o > have || (cur.r ?? []).some(further);
}

/** Whether the reader's last entry is the one that is held here: a log that was cut and grew anew has others. */
function fits({ state, tags }: Held, { o, g }: Cursor): boolean {
  const known = o === state.have ? state.tag : tags.get(o);
  return known === undefined || known === g;
}

function goingOn(held: Held, s: string, cur: Cursor): readonly SessionFrame[] {
  const { epoch, have, entries, more } = held.state;
  // A run is sent whole: where its fragments lie in the text, only the log knows.
  const runs = (cur.r ?? []).flatMap(([o, n]) => {
    const run = entries.find((e) => e.offset === o);
    return run?.kind === "run" && (run.fragments > n || !isOpen(run)) ? [frameOf(s, run, 0)] : [];
  });
  const sent = answered(s, "continuous", epoch, cur.o + 1, have, more);
  return [sent, ...runs, ...rest(held, s, cur.o), { t: "live", s, o: have }];
}

function answered(
  s: string,
  outcome: SubFrame["outcome"],
  e: string,
  from: number,
  head: number,
  more: boolean,
): SubFrame {
  return { t: "sub", s, outcome, e, from, head, ...(more && { more }) };
}

/** Everything after an offset, without a hole. */
function rest({ state, tags }: Held, s: string, after: number): SessionFrame[] {
  const { have, tag } = state;
  let end = after;
  const frames: SessionFrame[] = [];
  for (const entry of state.entries) {
    if (entry.offset <= after) continue;
    const { offset } = entry;
    frames.push({ ...frameOf(s, entry, offset === have ? (tag ?? 0) : (tags.get(offset) ?? 0)), f: end + 1 });
    end = offset;
  }
  // What stands last may be compacted away, or of a kind that this version does not know: the position is told all the same.
  if (end < have) frames.push({ t: "entry", s, o: have, f: end + 1, g: tag ?? 0, k: "", at: 0 });
  return frames;
}

function frameOf(s: string, entry: Entry, g: number): EntryFrame | RunFrame {
  const { offset: o, id, user: u, client: c, at, data } = entry;
  const base = { s, o, g, id, u, c, at, data };
  if (entry.kind !== "run") {
    return { ...base, t: "entry", k: entry.kind, ...(entry.kind === "state" && { key: entry.key }) };
  }
  const { status, fragments: n, chain: h, end, answers, stop } = entry;
  const body = entry.body.map(({ part: p, text, event }): BodyItem =>
    text === undefined ? { p, v: event } : { p, d: text },
  );
  const told = stop && { id: stop.id, u: stop.user, c: stop.client, state: stop.state };
  return { ...base, t: "run", status, n, h, body, end, ...(answers && { answers }), ...(told && { stop: told }) };
}
