import type { State } from "../connection-types.ts";
import type { ConnectionStats, OwnedFrame } from "../link.ts";
import type { Act, ClientFrame, SubItem, WelcomeFrame } from "../wire.ts";

/**
 * Says that a tab leads, and how its connection is. Sent when something changes, and each second from a timer or with a
 * frame of the server, never as an answer: a frozen page still answers, and such an answer would prove nothing.
 */
export interface Lease {
  readonly m: "lease";
  readonly tab: string;
  /** The generation of its latest hello: what the server fences by. */
  readonly epoch: number;
  readonly visible: boolean;
  readonly at: number;
  readonly state: State;
  readonly stats: ConnectionStats;
  /** Another number for each welcome; the latest one, while the connection is attached and what it reads is there. */
  readonly link: number;
  readonly welcome?: WelcomeFrame | undefined;
  /** The number of its latest "down" to all: whoever has heard another one has missed something. */
  readonly told: number;
}

/** What tabs say to each other. What names a `to` is for that tab alone. */
export type Message =
  | Lease
  /** A leader leads no more. */
  | { readonly m: "resign"; readonly tab: string }
  /** To a leader: I read these, from here on; what I read before is over. */
  | {
      readonly m: "join";
      readonly tab: string;
      readonly to: string;
      readonly visible: boolean;
      /** Whether this tab knows a token already. */
      readonly token: boolean;
      readonly subs: readonly SubItem[];
    }
  /** To a leader, for one connection of its own: what was said for the one before is said again, and must not be overtaken. */
  | {
      readonly m: "up";
      readonly tab: string;
      readonly to: string;
      readonly link: number;
      readonly client: string;
      readonly frame: ClientFrame;
    }
  | { readonly m: "call"; readonly tab: string; readonly to: string; readonly call: Call }
  /** From a leader: an answer to one tab, or what all are told; n counts the latter. */
  | {
      readonly m: "down";
      readonly tab: string;
      readonly to?: string;
      readonly n: number;
      readonly frames: readonly OwnedFrame[];
    }
  | { readonly m: "token"; readonly to?: string; readonly token: string }
  /** Whether a channel can be heard at all. */
  | { readonly m: "test"; readonly tab: string };

/** What is asked of a leader's connection; and what it is told of the tab: somebody looks at it, or not, or it leaves. */
export type Call = Act | "retry" | "suspect" | "seen" | "unseen" | "leave";
