export { Client, type ClientOptions, type Status } from "./client.ts";
export type { State } from "./connection-types.ts";
export type { Entry, EventEntry, MessageEntry, RunEntry, RunStop, Segment, StateEntry } from "./entry.ts";
export { browserEnv } from "./env/browser.ts";
export type {
  Cancel,
  Carrier,
  Claim,
  Env,
  FetchAnswer,
  FetchRequest,
  KeyValue,
  PageSignal,
  Pipe,
  PipeEvents,
} from "./env/env.ts";
export { memoryStorage } from "./env/memory-storage.ts";
export { type ErrorCode, HoldfastError } from "./errors.ts";
export type { ConnectionOwner, ConnectionStats, Link, LinkFactory, LinkParts, OwnedFrame } from "./link.ts";
export { keepLog, type Log, type LogRecord } from "./log.ts";
export { older } from "./older.ts";
export type { Ack, Command, Sending } from "./outbox.ts";
export type { Kept, OutboxStore } from "./outbox-store.ts";
export { type LeftQueue, move, queueOf, type TurnPolicy, type TurnQueue, type Waiting, withdraw } from "./queue.ts";
export { answer, type Answered, requestsOf, type SessionRequest, type Settled } from "./requests.ts";
export type { Session, SessionOptions, SessionSnapshot, Signal } from "./session.ts";
export { type Cached, cached, type SessionCache } from "./session-cache.ts";
export { stop, stopOf, type StopTarget } from "./stop.ts";
export type { TokenSource } from "./token.ts";
export type { Outcome, RequestState, RunStatus, StopState } from "./wire.ts";
