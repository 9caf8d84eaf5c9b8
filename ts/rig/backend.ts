import type { Message } from "./page/report.ts";

/** A server as the rig needs it, whosever it is. */
export interface Backend {
  /** The port that clients connect to, by way of the proxy. */
  readonly port: number;
  /** What a page needs to know to connect through the proxy's port. */
  readonly path: string;
  /** Gives messages to everybody who reads a session; resolves when the server has them. */
  publish(session: string, messages: readonly Message[]): Promise<void>;
  stop(): Promise<void>;
}
