/** What the rig writes: the n-th message, and when it was written, in Unix milliseconds. */
export interface Message {
  readonly n: number;
  readonly t: number;
}

export interface Dial {
  readonly url: string;
  readonly at: number;
  opened?: number;
  closed?: number;
  code?: number;
}

/** What a page tells of itself. Times are Unix milliseconds of a clock that no case shifts. */
export interface Report {
  /** Messages in the order in which the application got them: session, number, when it was written, when it came. */
  readonly records: readonly (readonly [session: string, n: number, t: number, at: number])[];
  readonly dials: readonly Dial[];
  readonly fetches: readonly { readonly url: string; readonly at: number }[];
  /** Signals of the browser. */
  readonly events: readonly { readonly name: string; readonly at: number }[];
  readonly errors: readonly string[];
  /** Renders that brought something: when, and how many messages. */
  readonly renders: readonly (readonly [at: number, added: number])[];
  /** What the client said of its connection. */
  readonly statuses: readonly { readonly state: string; readonly at: number }[];
  /** How many messages of this page are not yet known to have arrived. */
  readonly unsent: number;
  /** Own sends: what was sent, when, and when it was known to stand in the log. */
  readonly sends: readonly { readonly text: string; readonly at: number; readonly done?: number }[];
  /** How the sessions were last answered, e.g. continuous. */
  readonly outcomes: Readonly<Record<string, string>>;
  /** The client's own name, where it has one. */
  readonly client: string;
}

/** What a page is told by its address. */
export interface PageConfig {
  readonly client: ClientName;
  /** The host and port of the proxy. */
  readonly host: string;
  readonly path: string;
  readonly sessions: readonly string[];
  /** Signals of the browser that the client is not to hear. */
  readonly deaf?: readonly string[];
  /** Options of our own client. */
  readonly ours?: OursConfig;
}

export interface OursConfig {
  readonly tabs?: boolean;
  readonly fallback?: boolean;
  readonly durable?: boolean;
  readonly cache?: boolean;
  /** BroadcastChannels that hear nothing. */
  readonly noChannel?: boolean;
}

export type ClientName = "ours" | "socketio" | "centrifuge" | "phoenix" | "partysocket";

export const CLIENTS: readonly ClientName[] = ["ours", "socketio", "centrifuge", "phoenix", "partysocket"];
