import { type Entry, entryOf } from "./entry.ts";
import { HoldfastError } from "./errors.ts";
import type { Session } from "./session.ts";
import type { SessionState } from "./session-state.ts";
import type { PageFrame } from "./wire.ts";

/** What is being asked for now. */
const asking = new WeakMap<Session, Promise<boolean>>();

/**
 * Gets up to `limit` (1 to 200) entries before the first of a session. Resolves once they are among the entries, with
 * whether there are still more; asked again meanwhile, it is the same answer. Waits for a connection if there is none.
 * Rejects by code, "closed" where the session is closed before.
 */
export function older(session: Session, limit = 50): Promise<boolean> {
  let answer = asking.get(session);
  if (!answer) {
    answer = ask(session, limit).finally(() => asking.delete(session));
    asking.set(session, answer);
  }
  return answer;
}

function ask(session: Session, limit: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const stop = session.ending.add(() => reject(new HoldfastError("closed", "the session was closed")));
    settled(session)
      .then(() => page(session, limit))
      .then(resolve, reject)
      .finally(stop);
  });
}

/** Waits until the server has said what there is. */
function settled(session: Session): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      const { phase } = session.held;
      if (phase !== "live" && phase !== "denied") return;
      stop();
      resolve();
    };
    const stop = session.subscribe(look);
    look();
  });
}

async function page(session: Session, limit: number): Promise<boolean> {
  for (;;) {
    const { phase, more, first, refusal } = session.held;
    if (phase === "denied") throw refusal;
    if (!more) return false;
    const { page } = await session.command({ t: "page", before: first, limit });
    const held = session.held;
    const state = page ? withPage(held, page, first) : held;
    session.adopt(state);
    // The session may have been answered anew meanwhile, and begin elsewhere now: then it is asked for that.
    if (state !== held) return state.more;
  }
}

/** Adds older entries, which were asked for before offset `before`. An answer that no longer fits changes nothing. */
export function withPage(state: SessionState, page: PageFrame, before: number): SessionState {
  if (page.e !== state.epoch || before !== state.first) return state;
  const held = new Set(state.entries.map((e) => e.offset));
  const states = new Map(state.states);
  let first = state.first;
  const older: Entry[] = [];
  // From the newest, so that the first state of a key is the one that counts.
  for (const item of [...page.items].reverse()) {
    first = Math.min(first, item.f ?? item.o);
    const entry = entryOf(item);
    if (!entry || item.o >= state.first || held.has(item.o)) continue;
    if (entry.kind === "state") {
      if (states.has(entry.key)) continue;
      states.set(entry.key, entry);
    }
    older.push(entry);
  }
  const entries = [...older, ...state.entries].sort((a, b) => a.offset - b.offset);
  // A page without items cannot be passed: were more believed then, the reader would ask for it for ever.
  return { ...state, first, more: page.more === true && first < before, entries, states };
}
