import type { Status } from "@holdfast/client";

/** What the element says, in the language of the page. */
export interface Words extends Readonly<Record<Status["state"], string>> {
  /** While offline: when the next attempt comes, and that one is under way. */
  readonly next: (seconds: number) => string;
  readonly trying: string;
  /** On the button: make the next attempt now; and, where another page took the connection over, take it back. */
  readonly retry: string;
  readonly here: string;
}

export const ENGLISH: Words = {
  idle: "Disconnected",
  connecting: "Connecting",
  live: "Live",
  "catching-up": "Catching up",
  offline: "Offline",
  asleep: "Paused",
  ended: "Ended",
  next: (seconds) => `next try in ${seconds} s`,
  trying: "trying",
  retry: "Try now",
  here: "Use here",
};
