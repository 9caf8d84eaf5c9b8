import type { State } from "./connection-types.ts";
import type { Env } from "./env/env.ts";
import type { Identity } from "./identity.ts";
import type { Log } from "./log.ts";
import type { SessionState } from "./session-state.ts";
import type { Token } from "./token.ts";
import type {
  AckFrame,
  Act,
  ClientFrame,
  ErrFrame,
  MembersFrame,
  PageFrame,
  SessionFrame,
  SignalFrame,
  SubItem,
  WelcomeFrame,
  WindowsFrame,
} from "./wire.ts";

/** What a client speaks to its server through. Connection is the plain one; another may share one among tabs. */
export interface Link {
  readonly state: State;
  readonly stats: ConnectionStats;
  /** Whether frames can be sent now. */
  readonly open: boolean;
  /** Connects because the user wants to, and from then on comes back by itself; also where another window is in use. */
  connect(act?: Act): void;
  /** Says goodbye and stays away until connect. */
  disconnect(): void;
  /** Makes the next attempt now; with a connection, makes sure that it lives. */
  retry(): void;
  /** An answer is overdue: makes sure that the connection lives. */
  suspect(): void;
  /** Sends a frame, if it is open; what must not get lost is sent again after the next welcome. */
  send(frame: ClientFrame): void;
}

export type LinkFactory = (parts: LinkParts) => Link;

/** What a link is made of. Whoever makes a Connection inside another link may hand on the same parts. */
export interface LinkParts {
  readonly env: Env;
  /** How pipes are opened: the carrier's way, or env.open. */
  readonly open: Env["open"];
  readonly url: string;
  readonly token: Token;
  readonly identity: Identity;
  readonly log: Log | undefined;
  /** What else hello says of this window. */
  readonly place: { readonly device?: string; readonly name?: string; readonly windows?: true } | undefined;
  readonly owner: ConnectionOwner;
}

/** The frames that are not about the connection itself. */
export type OwnedFrame =
  SessionFrame | PageFrame | AckFrame | ErrFrame | SignalFrame | WindowsFrame | MembersFrame | { readonly t: "report" };

/** What the connection asks of and tells its owner. */
export interface ConnectionOwner {
  /** What hello is to subscribe to. Called once the socket is open, and followed by welcomed or cut. */
  attach(): readonly SubItem[];
  welcomed(frame: WelcomeFrame): void;
  frame(frame: OwnedFrame): void;
  /** The socket, on which attach had been called, is gone. */
  cut(): void;
  /** The state has another name, or another reason. */
  changed(): void;
  /** What is held of a session, for whoever reads it for several tabs. */
  held?(session: string): SessionState | undefined;
  /** Whether all that was asked for at attach is there: only then has the connection proved itself. */
  upToDate(): boolean;
}

/** Figures for people who want to see what is going on. */
export interface ConnectionStats {
  /** The server's name of the connection, "" while there is none, and the user whose token it took. */
  readonly connection: string;
  readonly user: string;
  /** Dials so far, and how many of them were welcomed. */
  readonly dials: number;
  readonly welcomes: number;
  /** UTF-16 units of text received and sent. */
  readonly received: number;
  readonly sent: number;
  /** The smoothed round trip in ms; 0 while unknown. */
  readonly rtt: number;
  /** How the connection stands beside the others of its user, as the server has said last; see placeOf. */
  readonly windows?: WindowsFrame | undefined;
}
