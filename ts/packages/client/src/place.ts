import type { Client } from "./client.ts";
import type { Session } from "./session.ts";
import type { WindowsFrame } from "./wire.ts";

/** Another window of the same user. */
export interface OtherWindow {
  readonly client: string;
  /** What it calls itself, "" for nothing. */
  readonly name: string;
  /** Whether it is on the same device. */
  readonly sameDevice: boolean;
  /** Since when it is connected, in Unix milliseconds. */
  readonly since: number;
}

/** How a window stands beside the others of its user. */
export interface Place {
  /**
   * - full: it has all its rights, as most have always.
   * - read_only: it is shown everything, and may send nothing. claim changes places.
   * - elsewhere: the user goes on in another window. claim takes the place back.
   * - ask: the user is to say whether to go on here: claim says yes.
   * - limit: there are too many windows already, and claim does not help.
   */
  readonly mode: WindowsFrame["mode"];
  /** The others, the newest first, as far as the server has told. */
  readonly others: readonly OtherWindow[];
}

/**
 * How this window, or its reading of a session, stands beside the user's others: "continued in another window", "also open on
 * your phone". The status changes with it, or the session does. A client is told of others where nothing is in
 * conflict if its option `place` says so.
 */
export function placeOf(of: Client | Session): Place {
  const { mode, others = [] } = ("status" in of && "clientId" in of ? of.status.windows : of.windows) ?? {
    mode: "full",
  };
  return {
    mode,
    others: others.map(({ c, name = "", same = false, since }) => ({ client: c, name, sameDevice: same, since })),
  };
}

/**
 * What a button "use here" does: takes the place of the user's other window, by the server's rules. To be called when the
 * user has said so, and never by itself: two pages that do would take the place from each other without end.
 */
export function claim(of: Client | Session): void {
  if ("clientId" in of) of.connect("claim");
  else of.again({ act: "claim" });
}
