/** What outlives the single states. */
export interface Memory {
  /** Failures since the connection was last stable, or the page came back: the exponent of the backoff. */
  readonly attempts: number;
  /** When the outage began; 0 while there is none. */
  readonly outageAt: number;
  /** How often the token was refused since the last welcome. */
  readonly refusals: number;
  /** All dials so far. Each dials its own path, since Firefox delays repeated dials of one URL after failures. */
  readonly dials: number;
  /** When dials failed of late: Chrome itself delays the dials of a page that has failed some 16 in two minutes. */
  readonly failed: readonly number[];
  /** What failed last was no dial, but a connection that had been accepted. */
  readonly slammed: boolean;
  /** When the gate last said yes; 0 once it has said no, or a connection has proved it right. */
  readonly approvedAt: number;
  /** When a slow dial was last given up because the gate answered. */
  readonly redialAt: number;
  /** Until when a dial that fails at once is only a radio that has not woken yet, and how often it has. */
  readonly wakeUntil: number;
  readonly rung: number;
  /** Since when nobody looks, 0 while somebody does, and how long the connection is kept then, in ms. */
  readonly hiddenAt: number;
  readonly linger: number;
  /** The smoothed round trip, in ms; 0 before the first. */
  readonly rtt: number;
}

/** A socket on its way: the number of its dial, and when it began. */
export interface Dial {
  readonly n: number;
  readonly since: number;
}

/**
 * One record for all states. What is not named here for a state has no meaning in it; what there is of sockets, `n` and
 * `second`, always holds.
 */
export interface State extends Memory, Moment {
  readonly name: "idle" | "dialing" | "attaching" | "live" | "doubt" | "waiting" | "asleep" | "ended";

  /** The socket that is on its way or attached, by the number of its dial; 0 while there is none. */
  readonly n: number;
  /**
   * Of doubt, and of live where the server is about to leave: the socket that is tried meanwhile; `asked`: it stands by, and
   * the server has been told so.
   */
  readonly second: (Dial & { readonly asked: boolean }) | undefined;

  /** Of dialing, attaching, doubt and waiting: when it is given up, or over. */
  readonly until: number;
  /** Of dialing and attaching: when the dial began. At `gateAt` it is slow: time to ask whether it is worth waiting for. */
  readonly since: number;
  readonly gateAt: number;

  /** Of live and doubt: when something was last heard and said. */
  readonly heard: number;
  readonly sent: number;
  /** How long silence is normal, while somebody looks and while nobody does. */
  readonly beat: number;
  readonly rest: number;
  /** It has proved itself: what was before it is forgotten. */
  readonly stable: boolean;
  /** Of live: when to dial a second socket, since the server is about to leave; never if it has not said so. */
  readonly moveAt: number;

  /** Of doubt: when a ping was sent, and from when on the answer is late; `certain`: all speaks against the connection. */
  readonly askedAt: number;
  readonly lateAt: number;
  readonly certain: boolean;

  /** Of waiting: whether the gate was asked, and how long the server wants no dial, in ms; 0 if it did not say. */
  readonly asking: boolean;
  readonly told: number;
  /** Of waiting and ended: why. */
  readonly reason: string;
  readonly code: number;
}

export type Event =
  /** The application wants a connection, does not, or wants the next attempt now. */
  | { readonly type: "connect" }
  | { readonly type: "disconnect" }
  | { readonly type: "retry" }
  /**
   * Something happened after which the old connection is not to be trusted, or a new one may succeed. `certain`: so much
   * happened that the old one is hardly alive. `hidden`: nobody looks all the same.
   */
  | { readonly type: "wake"; readonly certain: boolean; readonly hidden: boolean }
  /** Nobody looks any more; the connection is kept for `linger` ms. */
  | { readonly type: "hidden"; readonly linger: number }
  /** The page is put away: to come back (`park`), or for good. */
  | { readonly type: "sleep"; readonly park: boolean }
  /** An answer is overdue, or the network is said to be gone. */
  | { readonly type: "suspect" }
  /** It has been live for a while, and all that was asked for is there. */
  | { readonly type: "stable" }
  /** Whether the server takes connections; if not, perhaps when to ask again, in ms. */
  | { readonly type: "gate"; readonly ok: boolean; readonly after?: number | undefined }
  /**
   * What follows is about the n-th dial. There is no token for it; `terminal` if asking again would not help; `dialed` if
   * a socket had been opened meanwhile.
   */
  | {
      readonly type: "unauthorized";
      readonly n: number;
      readonly terminal: boolean;
      readonly dialed: boolean;
      readonly reason: string;
    }
  /** The socket is open, and there is a token. `single`: a hello on it always attaches, it cannot stand by. */
  | { readonly type: "opened"; readonly n: number; readonly single: boolean }
  | { readonly type: "ready"; readonly n: number }
  | {
      readonly type: "welcomed";
      readonly n: number;
      readonly beat: number;
      readonly rest: number;
      readonly rtt: number;
    }
  | { readonly type: "heard"; readonly n: number }
  /** The answer to the latest ping. */
  | { readonly type: "pong"; readonly n: number; readonly rtt: number }
  | { readonly type: "sent" }
  /** The server of the n-th is about to leave: another is to stand by within `spread` ms. */
  | { readonly type: "move"; readonly n: number; readonly spread: number }
  | {
      readonly type: "closed";
      readonly n: number;
      readonly code: number;
      readonly reason: string;
      /** When to come back, in ms, if the server said so. */
      readonly after?: number;
      readonly spread?: number;
    }
  /** The deadline of the state has passed. */
  | { readonly type: "timer" };

export type Effect =
  /**
   * Get a token, and open a socket on the n-th path: at the same time, or after it if there was no token the last time.
   * Answered by opened, closed or unauthorized.
   */
  | { readonly type: "dial"; readonly n: number }
  /** Say hello. Answered by welcomed, or ready if it is to stand by, or closed. */
  | { readonly type: "hello"; readonly n: number; readonly standby: boolean }
  /** Let the one that stands by take over. Answered by welcomed or closed. */
  | { readonly type: "take"; readonly n: number }
  /** Answered by pong. */
  | { readonly type: "ping"; readonly n: number }
  /** Ask over HTTP whether the server takes connections. Answered by gate. */
  | { readonly type: "gate" }
  /** Let go of the socket, without waiting for it to close: a dead one takes up to a minute. */
  | { readonly type: "drop"; readonly n: number; readonly bye: "" | "leave" | "park" };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** The moment of the latest event: the clock in ms and a random number from 0 to 1. */
export interface Moment {
  readonly now: number;
  readonly random: number;
}
