import type { Status } from "@holdfast/client";

/** What is shown: a state of the connection, or nothing while it is not worth a word. */
export type Shown = Status["state"] | "";

export interface Situation {
  readonly state: Status["state"];
  /** What is shown now. */
  readonly shown: Shown;
  /** How long it has been in this state, and how long it has not been live while somebody looked, in ms. */
  readonly since: number;
  readonly trouble: number;
}

/** How long trouble lasts before it is shown, in ms: most of it is over before anybody could read the word. */
const CONNECTING = 800;
const CATCHING_UP = 300;
const OFFLINE = 5_000;

/** What to show, and in how many ms to look again if nothing happens before. */
export function view({ state, shown, since, trouble }: Situation): { readonly shown: Shown; readonly again?: number } {
  // The attempts of a long outage are no news: it is offline until one of them succeeds.
  const busy = shown === "offline" ? shown : "connecting";
  switch (state) {
    case "connecting":
      return trouble < CONNECTING ? { shown, again: CONNECTING - trouble } : { shown: busy };
    case "catching-up":
      return since < CATCHING_UP ? { shown, again: CATCHING_UP - since } : { shown: state };
    case "offline":
      if (trouble < CONNECTING) return { shown, again: CONNECTING - trouble };
      return trouble < OFFLINE ? { shown: busy, again: OFFLINE - trouble } : { shown: state };
    default:
      return { shown: state };
  }
}
