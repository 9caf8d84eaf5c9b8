/**
 * The frames of protocol version 1, with the member names that stand on the wire. The protocol itself is described in
 * wire/wire.go of the server; the golden data beside it binds both sides.
 */

import { attempt } from "./attempt.ts";

export const VERSION = 1;
/** How many sessions one connection may read. */
export const MAX_SUBS = 256;
/** How many open runs one cursor may name. */
export const MAX_CURSOR_RUNS = 256;

export type Outcome = "continuous" | "snapshot" | "lost" | "denied";
export type RunStatus = "open" | "complete" | "stopped" | "failed" | "interrupted";
export type StopState = "requested" | "stopped" | "too_late" | "unreachable";
export type RequestState = "open" | "answered" | "expired" | "withdrawn";

/** How far a reader has come: `r` lists [run, fragment, chain tag] of each open run. */
export interface Cursor {
  readonly e: string;
  readonly o: number;
  readonly g: number;
  readonly r?: readonly (readonly [run: number, fragment: number, chain: number])[] | undefined;
}

/** What the user has just done; what a client does by itself is no act. */
export type Act = "open" | "claim";

export interface SubItem {
  readonly s: string;
  readonly last?: number | undefined;
  /** For how long texts of runs may be held back to come in fewer frames, in ms, up to 500. */
  readonly rollup?: number | undefined;
  readonly cur?: Cursor | undefined;
  readonly act?: Act | undefined;
  /** Tell me who else is there. */
  readonly watch?: true | undefined;
}

export type ClientFrame =
  | {
      readonly t: "hello";
      readonly v: number;
      readonly token: string;
      readonly client: string;
      readonly gen: number;
      readonly agent?: string;
      /** To be verified and not attached: until take, or for what follows in the same request. */
      readonly mode?: "standby" | "aside";
      /** Nobody looks. */
      readonly hidden?: true | undefined;
      /** With a poll: how long to wait for something to say, in ms. */
      readonly wait?: number;
      readonly act?: Act | undefined;
      /** The same for all clients of a device; and what the user calls this one. */
      readonly device?: string;
      readonly name?: string;
      /** Tell me of my user's other connections. */
      readonly windows?: true;
      readonly subs: readonly SubItem[];
    }
  /** Attaches a connection that stood by. */
  | {
      readonly t: "take";
      readonly gen: number;
      readonly hidden?: true | undefined;
      readonly act?: Act | undefined;
      readonly subs: readonly SubItem[];
    }
  | { readonly t: "view"; readonly hidden: boolean }
  | ({ readonly t: "sub" } & SubItem)
  | { readonly t: "unsub"; readonly s: string }
  | {
      readonly t: "send";
      readonly s: string;
      readonly id: string;
      readonly first?: true | undefined;
      readonly data: unknown;
    }
  | CommandFrame
  | { readonly t: "signal"; readonly s: string; readonly data: unknown }
  | { readonly t: "token"; readonly token: string }
  | { readonly t: "ping" | "pong"; readonly n: number }
  /** A connection that reads only wants the place of another one. */
  | { readonly t: "claim" }
  /** How far the user has read, and this client has shown, in an epoch. */
  | { readonly t: "read"; readonly s: string; readonly e: string; readonly o?: number; readonly got?: number }
  /** `park`: the page goes to sleep, and will be back. */
  | { readonly t: "bye"; readonly park?: true | undefined };

/** What a user does to a session besides sending: answered by ack or err with the same id, and repeated until then. */
export type CommandFrame =
  /** Asks for entries. Answered by page. */
  | {
      readonly t: "page";
      readonly id: string;
      readonly s: string;
      readonly before?: number;
      readonly after?: number;
      readonly limit?: number;
    }
  /** Stops a run, or the answer to a message. One of `run` and `answers` is there. */
  | { readonly t: "stop"; readonly s: string; readonly id: string; readonly run?: number; readonly answers?: number }
  /** Changes what waits for its turn; `of` is a message by its sender, left out for one's own, and `to` its new place. */
  | {
      readonly t: "queue";
      readonly s: string;
      readonly id: string;
      readonly do: "withdraw" | "move";
      readonly of: { readonly u?: string; readonly id: string };
      readonly to?: number;
    }
  /** Answers a request, by its offset. */
  | { readonly t: "answer"; readonly s: string; readonly id: string; readonly request: number; readonly data: unknown };

export interface WelcomeFrame {
  readonly t: "welcome";
  readonly conn: string;
  readonly user: string;
  readonly now: number;
  /** How long silence is normal, in ms, while somebody looks; and while nobody does (an older server does not say). */
  readonly beat: number;
  readonly rest?: number;
  readonly exp?: number;
  readonly max: number;
}

/** The answer to a hello that does not attach. */
export interface ReadyFrame {
  readonly t: "ready";
  readonly beat: number;
  readonly rest?: number;
}

export interface SubFrame {
  readonly t: "sub";
  readonly s: string;
  readonly outcome: Outcome;
  /** The next four are absent with outcome denied, code and msg present only with it. */
  readonly e?: string;
  readonly from?: number;
  readonly head?: number;
  readonly more?: boolean;
  readonly code?: string;
  readonly msg?: string;
}

export interface LiveFrame {
  readonly t: "live";
  readonly s: string;
  readonly o: number;
}

/** An entry as it stands in a page: like an entry or run frame, but without `s`. */
export interface EntryItem {
  readonly t: "entry";
  readonly o: number;
  readonly f?: number;
  readonly e?: string;
  readonly g: number;
  readonly k: string;
  readonly id?: string;
  readonly u?: string;
  readonly c?: string;
  readonly at: number;
  readonly key?: string;
  readonly data?: unknown;
}

export interface BodyItem {
  readonly p?: string;
  readonly d?: string;
  readonly v?: unknown;
}

/** The stop of a run, as it stands in the run. */
export interface StopItem {
  readonly id: string;
  readonly u?: string;
  readonly c?: string;
  readonly state: StopState;
}

/** What an event says of a request: that it was opened, or, with its offset in `o`, how it was settled. */
export interface RequestItem {
  readonly o?: number;
  readonly id: string;
  readonly state: RequestState;
  readonly run?: number;
  readonly outlives?: boolean;
  readonly to?: readonly string[];
  readonly by?: number;
  readonly default?: unknown;
  readonly u?: string;
  readonly c?: string;
  readonly data?: unknown;
}

export interface RunItem {
  readonly t: "run";
  readonly o: number;
  readonly f?: number;
  readonly e?: string;
  readonly g: number;
  readonly id?: string;
  readonly u?: string;
  readonly c?: string;
  readonly at: number;
  readonly data?: unknown;
  readonly status: RunStatus;
  readonly n: number;
  readonly h: number;
  readonly body: readonly BodyItem[];
  readonly end?: unknown;
  /** The offset of the message that the run answers. */
  readonly answers?: number;
  readonly stop?: StopItem;
}

export type EntryFrame = EntryItem & { readonly s: string };
export type RunFrame = RunItem & { readonly s: string };

export interface FragFrame extends BodyItem {
  readonly t: "frag";
  readonly s: string;
  readonly o: number;
  readonly n: number;
  readonly m?: number;
  readonly h: number;
}

export interface EndFrame {
  readonly t: "end";
  readonly s: string;
  readonly o: number;
  readonly n: number;
  readonly h: number;
  readonly status: RunStatus;
  readonly at: number;
  readonly data?: unknown;
}

export interface PageFrame {
  readonly t: "page";
  readonly id: string;
  readonly s: string;
  readonly e: string;
  readonly items: readonly (EntryItem | RunItem)[];
  readonly more?: boolean;
}

export interface AckFrame {
  readonly t: "ack";
  readonly s: string;
  readonly id: string;
  readonly o: number;
  readonly g: number;
  readonly at: number;
  readonly dup?: boolean;
  /** In the answer to a command: how that stands. Of a message that is no entry: what became of it. */
  readonly state?: string;
  /** Of an answer: another one was first, of this user and client if of anybody. */
  readonly lost?: boolean;
  readonly u?: string;
  readonly c?: string;
}

export interface ErrFrame {
  readonly t: "err";
  readonly re?: string;
  readonly s?: string;
  readonly id?: string;
  readonly code: string;
  readonly msg: string;
  readonly after?: number;
}

export interface SignalFrame {
  readonly t: "signal";
  readonly s: string;
  readonly u?: string;
  readonly c?: string;
  readonly data?: unknown;
}

/** Another connection of the same user; `same`: on the same device. */
export interface WindowItem {
  readonly c: string;
  readonly name?: string;
  readonly same?: boolean;
  readonly since: number;
}

/** How a connection, or with `s` its reading of a session, stands beside the others of its user. */
export interface WindowsFrame {
  readonly t: "windows";
  readonly s?: string;
  readonly mode: "full" | "read_only" | "elsewhere" | "ask" | "limit";
  readonly others: readonly WindowItem[];
}

export interface MemberItem {
  readonly u: string;
  readonly c: string;
  readonly name?: string;
  readonly away?: boolean;
  readonly since?: number;
  readonly e?: string;
  readonly o?: number;
  readonly got?: number;
}

export interface MembersFrame {
  readonly t: "members";
  readonly s: string;
  readonly all?: boolean;
  readonly members?: readonly MemberItem[];
  readonly left?: readonly { readonly u: string; readonly c: string }[];
}

export interface ByeFrame {
  readonly t: "bye";
  readonly code: number;
  readonly reason?: string;
  readonly after?: number;
  readonly spread?: number;
}

/** The frames that change what a session holds, in the order in which they came. */
export type SessionFrame = SubFrame | LiveFrame | EntryFrame | RunFrame | FragFrame | EndFrame;

export type ServerFrame =
  | WelcomeFrame
  | ReadyFrame
  | SessionFrame
  | PageFrame
  | AckFrame
  | ErrFrame
  | SignalFrame
  | WindowsFrame
  | MembersFrame
  | ByeFrame
  | { readonly t: "expiring"; readonly in: number }
  | { readonly t: "move"; readonly spread: number }
  | { readonly t: "token"; readonly exp?: number }
  /** Please send your log. */
  | { readonly t: "report" }
  | { readonly t: "ping" | "pong"; readonly n: number };

/** Reads one message; undefined for a text that is no frame. What a type is not known of, whoever takes frames skips. */
export function decode(text: string): ServerFrame | undefined {
  const frame = attempt(() => JSON.parse(text) as ServerFrame | null);
  return frame?.t ? frame : undefined;
}

export const encode = (frame: ClientFrame) => JSON.stringify(frame);
