import type { BodyItem, EntryItem, RequestItem, RunItem, RunStatus, StopItem, StopState } from "./wire.ts";

interface EntryBase {
  /** Where the entry stands in its session: 1, 2, 3 ... */
  readonly offset: number;
  /** The sender's id of this entry, or "". For a message sent with this library it is the id of the send. */
  readonly id: string;
  /** Who wrote it, and from which device or tab; both "" for the backend. */
  readonly user: string;
  readonly client: string;
  /** When it was committed, by the server's clock, in Unix milliseconds. */
  readonly at: number;
  /** The application's data. Of a run: what it was opened with. */
  readonly data: unknown;
}

/** A message of a user or of the backend. */
export interface MessageEntry extends EntryBase {
  readonly kind: "message";
}

/** An event of the session itself. */
export interface EventEntry extends EntryBase {
  readonly kind: "event";
}

/** The latest value of a key. An older value of the same key is not kept. */
export interface StateEntry extends EntryBase {
  readonly kind: "state";
  readonly key: string;
}

/** A stretch of a run: text of one part, or one event of the application. */
export type Segment =
  | { readonly part: string; readonly text: string; readonly event?: never }
  | { readonly part: string; readonly event: unknown; readonly text?: never };

/** That somebody wants a run to stop. */
export interface RunStop {
  readonly id: string;
  /** Who asked, and on which device or tab; both "" for the backend. */
  readonly user: string;
  readonly client: string;
  /**
   * - requested: its producer has been told, and nothing is appended any more.
   * - stopped: the producer has ended it.
   * - too_late: it had ended before, or ended in another way.
   * - unreachable: the producer was not heard of in time, so the server ended it.
   */
  readonly state: StopState;
}

/** An entry that grows until it ends, such as a streamed answer. Each growth gives a new object. */
export interface RunEntry extends EntryBase {
  readonly kind: "run";
  readonly status: RunStatus;
  /** The text of the default part, "". */
  readonly text: string;
  /** The text of each part that has any. */
  readonly parts: Readonly<Record<string, string>>;
  /** All of it in the order in which it was written, neighbouring texts of one part joined. */
  readonly body: readonly Segment[];
  /** What the producer said at the end, if anything. */
  readonly end: unknown;
  /** The offset of the message that it answers, if it names one. */
  readonly answers?: number | undefined;
  /** Whether somebody asked for it to stop, and what became of that. */
  readonly stop?: RunStop | undefined;
  /** How many fragments there are, and the tag over them: the client's position in the run. */
  readonly fragments: number;
  readonly chain: number;
}

export type Entry = MessageEntry | EventEntry | StateEntry | RunEntry;

/** Makes an entry of its wire form; undefined for a kind that this version does not know. */
export function entryOf(item: EntryItem | RunItem): Entry | undefined {
  const { o: offset, id = "", u: user = "", c: client = "", at, data } = item;
  const base = { offset, id, user, client, at, data };
  if (item.t === "run") {
    const run: RunEntry = {
      ...base,
      kind: "run",
      status: item.status,
      text: "",
      parts: {},
      body: [],
      end: item.end,
      answers: item.answers,
      stop: item.stop && stopFrom(item.stop),
      fragments: item.n,
      chain: item.h,
    };
    return grown(run, item.body ?? [], item.n, item.h);
  }
  switch (item.k) {
    case "message":
    case "event":
      return { ...base, kind: item.k };
    case "state":
      return { ...base, kind: "state", key: item.key ?? "" };
  }
  return undefined;
}

export function stopFrom({ id, u = "", c = "", state }: StopItem): RunStop {
  return { id, user: u, client: c, state };
}

/** What the server's own events have in their data. An application's may have anything there. */
interface Told {
  readonly stop?: StopItem & { readonly run?: number; readonly answers?: number };
  readonly request?: RequestItem;
}

const toldBy = (entry: Entry | undefined): Told =>
  (entry?.kind === "event" ? (entry.data as Told | null | undefined) : undefined) ?? {};

/** What an event says of a stop: `run` is missing while there is no run, `answers` where the run answers nothing. */
export const stopTold = (entry: Entry | undefined): Told["stop"] => toldBy(entry).stop ?? undefined;

/** What an event says of a request. */
export const requestTold = (entry: Entry): Told["request"] => toldBy(entry).request ?? undefined;

/** Whether an entry opens a request that nothing among the entries settles. */
export function isOpenRequest(entry: Entry, entries: readonly Entry[]): boolean {
  return requestTold(entry)?.state === "open" && !entries.some((later) => requestTold(later)?.o === entry.offset);
}

/** The run with more at its end. */
export function grown(run: RunEntry, more: readonly BodyItem[], fragments: number, chain: number): RunEntry {
  const body = [...run.body];
  const parts = { __proto__: null, ...run.parts } as unknown as Record<string, string>;
  for (const { p: part = "", ...item } of more) {
    if ("v" in item) {
      body.push({ part, event: item.v });
      continue;
    }
    const text = item.d ?? "";
    const last = body[body.length - 1];
    if (last?.part === part && last.text !== undefined) {
      body[body.length - 1] = { part, text: last.text + text };
    } else {
      body.push({ part, text });
    }
    parts[part] = (parts[part] ?? "") + text;
  }
  return { ...run, body, parts, text: parts[""] ?? "", fragments, chain };
}
