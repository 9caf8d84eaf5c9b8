import type { StateEntry } from "./entry.ts";
import type { Session, SessionSnapshot } from "./session.ts";

/** What becomes of a message that is sent while an answer is under way; "parallel" where nobody has said. */
export type TurnPolicy = "parallel" | "queue" | "latest" | "reject" | "interrupt";

/** A message that waits for its turn. It becomes an entry with the same id. */
export interface Waiting {
  /** The id that it was sent with: that of the Sending, and of the entry to come. */
  readonly id: string;
  readonly user: string;
  /** When it was sent, by the server's clock, in Unix milliseconds. */
  readonly at: number;
  readonly data: unknown;
}

/** A message that left the queue with the latest change, and is no entry. */
export interface LeftQueue {
  readonly id: string;
  readonly user: string;
  /** replaced: by a later message of its sender. */
  readonly state: "withdrawn" | "replaced";
  /** The user who did it; "" for the backend. */
  readonly by: string;
}

export interface TurnQueue {
  readonly policy: TurnPolicy;
  /** The offset of the message whose answer the queue waits for, if it is that. */
  readonly turn: number | undefined;
  /** In the order in which they have their turns. */
  readonly waiting: readonly Waiting[];
  readonly left: readonly LeftQueue[];
}

interface Shown {
  readonly policy?: TurnPolicy;
  readonly turn?: number | null;
  readonly queue?: readonly {
    readonly id?: string;
    readonly u?: string;
    readonly at: number;
    readonly data?: unknown;
  }[];
  readonly out?: readonly {
    readonly id: string;
    readonly u?: string;
    readonly state: LeftQueue["state"];
    readonly by?: string;
  }[];
}

const NOBODY: TurnQueue = { policy: "parallel", turn: undefined, waiting: [], left: [] };

/** By the entry that shows it, so that it stays the same object until something changes. */
const queues = /* @__PURE__ */ new WeakMap<StateEntry, TurnQueue>();

/** Who waits for their turns in a session, as all devices see it. A message is here from when it left the outbox. */
export function queueOf({ states }: Pick<SessionSnapshot, "states">): TurnQueue {
  const entry = states.get("holdfast:turns");
  if (!entry) return NOBODY;
  const known = queues.get(entry);
  if (known) return known;
  const { policy = "parallel", turn, queue = [], out = [] } = entry.data as Shown;
  const waiting = queue.map(({ id = "", u = "", at, data }) => ({ id, user: u, at, data }));
  const left = out.map(({ id, u = "", state, by = "" }) => ({ id, user: u, state, by }));
  const made: TurnQueue = { policy, turn: turn ?? undefined, waiting, left };
  queues.set(entry, made);
  return made;
}

/** A message that waits, and whose it is; without `user` it is one's own. */
export type WaitingMessage = Pick<Waiting, "id"> & Partial<Pick<Waiting, "user">>;

/**
 * Takes a message out of the queue, for everybody; what others have waiting only with the right to stop. Resolves once that is
 * durable. It is asked for again over every reconnect. Rejects by code: "conflict" if the message has had its turn.
 */
export async function withdraw(session: Session, message: WaitingMessage): Promise<void> {
  await session.command({ t: "queue", do: "withdraw", of: refOf(message) });
}

/** Gives a message another place in the queue, counted from 0; past the end is the end. Otherwise it is as withdraw. */
export async function move(session: Session, message: WaitingMessage, to: number): Promise<void> {
  await session.command({ t: "queue", do: "move", of: refOf(message), to });
}

function refOf({ id, user }: WaitingMessage) {
  return user ? { u: user, id } : { id };
}
