/**
 * The frames of protocol version 1, with the member names that stand on the wire. The protocol itself is described in
 * wire/wire.go of the server; the golden data beside it binds both sides.
 */

export const VERSION = 1;
/** How many sessions one connection may read. */
export const MAX_SUBS = 256;
/** How many open runs one cursor may name. */
export const MAX_CURSOR_RUNS = 256;

export type Outcome = "continuous" | "snapshot" | "lost" | "denied";
export type RunStatus = "open" | "complete" | "stopped" | "failed" | "interrupted";
export type StopState = "requested" | "stopped" | "too_late" | "unreachable";

/** How far a reader has come: `r` lists [run, fragment, chain tag] of each open run. */
export interface Cursor {
  readonly e: string;
  readonly o: number;
  readonly g: number;
  readonly r?: readonly (readonly [run: number, fragment: number, chain: number])[];
}

/** What the user has just done; what a client does by itself is no act. */
export type Act = "open" | "claim";

export interface SubItem {
  readonly s: string;
  readonly last?: number;
  readonly cur?: Cursor;
  readonly act?: Act;
  /** Tell me who else is there. */
  readonly watch?: true;
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
      readonly hidden?: true;
      /** With a poll: how long to wait for something to say, in ms. */
      readonly wait?: number;
      readonly act?: Act;
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
      readonly hidden?: true;
      readonly act?: Act;
      readonly subs: readonly SubItem[];
    }
  | { readonly t: "view"; readonly hidden: boolean }
  | ({ readonly t: "sub" } & SubItem)
  | { readonly t: "unsub"; readonly s: string }
  | {
      readonly t: "page";
      readonly id: string;
      readonly s: string;
      readonly before?: number;
      readonly after?: number;
      readonly limit?: number;
    }
  | { readonly t: "send"; readonly s: string; readonly id: string; readonly data: unknown }
  /** Stops a run, or the answer to a message. One of `run` and `answers` is there. */
  | { readonly t: "stop"; readonly s: string; readonly id: string; readonly run?: number; readonly answers?: number }
  | { readonly t: "signal"; readonly s: string; readonly data: unknown }
  | { readonly t: "token"; readonly token: string }
  | { readonly t: "ping" | "pong"; readonly n: number }
  /** A connection that reads only wants the place of another one. */
  | { readonly t: "claim" }
  /** How far the user has read, and this client has shown, in an epoch. */
  | { readonly t: "read"; readonly s: string; readonly e: string; readonly o?: number; readonly got?: number }
  /** `park`: the page goes to sleep, and will be back. */
  | { readonly t: "bye"; readonly park?: true };

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
  /** In the answer to a stop: how it stands. */
  readonly state?: StopState;
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
  | { readonly t: "token"; readonly exp?: number }
  /** Please send your log. */
  | { readonly t: "report" }
  | { readonly t: "ping" | "pong"; readonly n: number };

/** The members without which a frame is of no use, by type: # a number, @ an array, else a string. */
const REQUIRED: { readonly [T in ServerFrame["t"]]: string } = {
  welcome: "conn user #now #beat #max",
  ready: "#beat",
  sub: "s outcome",
  live: "s #o",
  entry: "s #o #g k #at",
  run: "s #o #g #at status #n #h @body",
  frag: "s #o #n #h",
  end: "s #o #n #h status",
  page: "id s e @items",
  ack: "s id #o #at",
  err: "code msg",
  signal: "s",
  windows: "mode @others",
  members: "s",
  bye: "#code",
  expiring: "#in",
  token: "",
  report: "",
  ping: "#n",
  pong: "#n",
};

/**
 * Reads one message. A frame of an unknown type, and a text that is no frame, give undefined: they are skipped, so that
 * the server may learn new ones.
 */
export function decode(text: string): ServerFrame | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isServerFrame(value) ? value : undefined;
}

export function encode(frame: ClientFrame): string {
  return JSON.stringify(frame);
}

function isServerFrame(value: unknown): value is ServerFrame {
  if (typeof value !== "object" || value === null) return false;
  const frame = value as Readonly<Record<string, unknown>>;
  const type = frame["t"];
  if (typeof type !== "string" || !Object.hasOwn(REQUIRED, type)) return false;
  return REQUIRED[type as ServerFrame["t"]].split(" ").every((rule) => {
    const member = frame[rule.replace(/\W/, "")];
    if (rule.startsWith("@")) return Array.isArray(member);
    return rule === "" || typeof member === (rule.startsWith("#") ? "number" : "string");
  });
}
