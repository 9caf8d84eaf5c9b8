import type { Part } from "../parts.ts";
import type { Setup, Stage } from "../stage.ts";

/** One row of the acceptance matrix. */
export interface Case {
  readonly id: number;
  /** Tells runs of one case in different browsers apart. */
  readonly variant?: string;
  readonly title: string;
  /** What the figure is, in ms at the 95th percentile. Without one, only what must hold counts. */
  readonly target?: number;
  /** The most dials from the event on. */
  readonly dials?: number;
  /** Other clients are measured in it too. */
  readonly peers?: boolean;
  readonly setup?: Setup;
  /** What of the log the page must show at the end; all, if not given. */
  readonly shows?: "all" | "all after a gap" | "a beginning";
  /** Parts of the client that the case is about. Where this checkout lacks one, the case is pending. */
  readonly needs?: readonly Part[];
  /** How the case differs from its description, where waiting in full would show nothing more. */
  readonly scaled?: string;
  /** Does it; resolves with the figure, if there is one. */
  run(stage: Stage): Promise<number | void>;
}

/** Chromium as it was before it cut the sockets of frozen pages, and as Samsung Internet still is. */
export const KEEPS_SOCKETS = { disable: ["DisconnectWebSocketOnBFCache"] };

/** The same case in both kinds of Chromium. */
export function both(of: Case): readonly Case[] {
  const older: Case = { ...of, variant: "older", setup: { ...of.setup, features: KEEPS_SOCKETS } };
  return [of, older];
}
