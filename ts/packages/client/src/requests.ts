import { type Entry, requestTold } from "./entry.ts";
import type { Session, SessionSnapshot } from "./session.ts";
import type { RequestItem, RequestState } from "./wire.ts";

/** A question of the backend that waits for a person: an approval, or a tool that runs in the page. */
export interface SessionRequest {
  /** Where it stands in its session. It names the request. */
  readonly offset: number;
  readonly id: string;
  /**
   * - open: nobody has answered yet.
   * - answered: somebody has; the first answer counts.
   * - expired: nobody did in time, and its default stands in.
   * - withdrawn: no answer is needed any more, or its run has ended.
   */
  readonly state: RequestState;
  /** The run that it belongs to, if any. */
  readonly run?: number | undefined;
  /** The users who are asked; empty: everybody who may send. */
  readonly to: readonly string[];
  /** When it was asked, and until when it may be answered, by the server's clock, in Unix milliseconds. */
  readonly at: number;
  readonly by: number;
  /** What is asked, and what stands in for an answer if nobody gives one. */
  readonly data: unknown;
  readonly default: unknown;
  /** How it was settled. */
  readonly settled?: Settled | undefined;
}

export interface Settled {
  readonly offset: number;
  readonly at: number;
  /** Who answered, and on which device or tab; both "" for the backend, and where nobody did. */
  readonly user: string;
  readonly client: string;
  /** The answer; of a request that has expired, its default. */
  readonly data: unknown;
}

/** What became of an answer. */
export interface Answered {
  /** How the request was settled, and where the event of that stands. */
  readonly state: Exclude<RequestState, "open">;
  readonly offset: number;
  /** It was not by this answer. Then `user` and `client` say by whose, both "" where by nobody's or the backend's. */
  readonly lost: boolean;
  readonly user: string;
  readonly client: string;
}

/**
 * Answers a request. Resolves once it is settled, on the server's disk: by this answer, or by what was there before, which is
 * then told. It is sent again over every reconnect. Rejects by code: "forbidden" where it asks somebody else, or the token does
 * not grant sending.
 */
export async function answer(
  session: Session,
  request: number | Pick<SessionRequest, "offset">,
  data: unknown,
): Promise<Answered> {
  const offset = typeof request === "number" ? request : request.offset;
  const ack = await session.command({ t: "answer", request: offset, data });
  const { state = "answered", lost = false, u: user = "", c: client = "" } = ack;
  return { state: state as Answered["state"], offset: ack.offset, lost, user, client };
}

/** What the entries say is made once, so that whoever compares finds nothing changed where nothing has. */
const made = new WeakMap<Entry, SessionRequest>();

/** The requests among the entries, in order: those that are open, and those that were settled. */
export function requestsOf({ entries }: Pick<SessionSnapshot, "entries">): readonly SessionRequest[] {
  const found = new Map<number, SessionRequest>();
  for (const entry of entries) {
    const told = requestTold(entry);
    const opened = found.get(told?.o ?? 0);
    if (typeof told?.state !== "string" || (told.o !== undefined && !opened)) continue;
    const request = made.get(entry) ?? (opened ? settled(opened, entry, told) : asked(entry, told));
    made.set(entry, request);
    found.set(request.offset, request);
  }
  return [...found.values()];
}

function asked({ offset, at }: Entry, told: RequestItem): SessionRequest {
  const { id, state, run, to = [], by = 0, data, default: otherwise } = told;
  return { offset, id, state, run, to, at, by, data, default: otherwise };
}

function settled(request: SessionRequest, { offset, at, user, client }: Entry, told: RequestItem): SessionRequest {
  return { ...request, state: told.state, settled: { offset, at, user, client, data: told.data } };
}
