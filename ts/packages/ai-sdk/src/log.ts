import type { UIMessage } from "ai";

/** A stretch of a run: text of one part, or one event. */
export type LogSegment =
  | { readonly part: string; readonly text: string; readonly event?: never }
  | { readonly part: string; readonly event: unknown; readonly text?: never };

/** A run as a chat reads it; RunEntry of @holdfast/client and the run of @holdfast/producer's history are such. */
export interface LogRun {
  readonly kind: "run";
  readonly offset: number;
  readonly id: string;
  readonly data: unknown;
  readonly status: "open" | "complete" | "stopped" | "failed" | "interrupted";
  readonly body: readonly LogSegment[];
  readonly end: unknown;
  readonly answers?: number | undefined;
}

/** An entry of a session, as a chat reads it. */
export type LogEntry =
  | LogRun
  | {
      readonly kind: "message" | "event" | "state";
      readonly offset: number;
      readonly id: string;
      readonly data: unknown;
    };

/**
 * What the transport writes into a session, as the data of a message. Your backend reads it, and opens a run that answers it:
 * its `answers` is the offset of the entry.
 */
export type ChatRequest<M extends UIMessage = UIMessage> =
  /**
   * The user's message; with the id of an earlier message it takes that one's place, and what came after it is gone. Also the
   * assistant's message, once the page has filled in the outputs of tools or the answers to approvals: go on with it.
   */
  | { readonly type: "message"; readonly message: M; readonly body?: object }
  /** Answer anew. What came after the message `after` is gone; without it, everything. */
  | { readonly type: "regenerate"; readonly after?: string; readonly body?: object };

/** The request in the data of a message, or undefined if it is something else. */
export function requestOf<M extends UIMessage = UIMessage>(data: unknown): ChatRequest<M> | undefined {
  const d = data as Partial<Record<string, unknown>> | null | undefined;
  if (typeof d !== "object" || d === null) return undefined;
  if (d["type"] === "regenerate") return data as ChatRequest<M>;
  const message = d["message"] as Partial<M> | null | undefined;
  const whole = typeof message?.id === "string" && typeof message.role === "string" && Array.isArray(message.parts);
  return d["type"] === "message" && whole ? (data as ChatRequest<M>) : undefined;
}

/** The offset of the entry that a run says it answers: as it was opened, or else in its data, under the same name. */
export function answersOf(run: LogRun): number | undefined {
  if (run.answers !== undefined) return run.answers;
  const answers = (run.data as { answers?: unknown } | null | undefined)?.answers;
  return typeof answers === "number" ? answers : undefined;
}

/** The id of the message that a run is: the one that its stream began with, else the run's own. The same on every device. */
export function messageIdOf(run: LogRun): string {
  const first = run.body[0]?.event as { type?: unknown; messageId?: unknown } | null | undefined;
  const named = run.body[0]?.part === "ui" && first?.type === "start" && typeof first.messageId === "string";
  return named ? (first.messageId as string) : run.id || `run-${run.offset}`;
}
