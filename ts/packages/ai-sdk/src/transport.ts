import { type Client, type Entry, type RunEntry, type Session, stop, stopOf } from "@holdfast/client";
import { HoldfastError, queueOf, type Sending } from "@holdfast/client";
import type { AbstractChat, ChatTransport, UIMessage, UIMessageChunk } from "ai";
import { follow } from "./follow.ts";
import { answersOf, type ChatRequest, messageIdOf, requestOf } from "./log.ts";
import { chunksOf } from "./message-chunks.ts";
import { Messages } from "./messages.ts";
import { runStream, type RunStreamOptions } from "./run-stream.ts";

/** What is to be stopped: the answer that is being written, or the one that is still to come. */
export interface StopRequest {
  readonly chatId: string;
  readonly session: string;
  /** The run, if there is one: its offset and the id that your backend opened it with. */
  readonly run?: { readonly offset: number; readonly id: string };
  /** The offset of the entry that the run answers, or will. */
  readonly answers?: number;
}

export interface HoldfastChatTransportOptions {
  /** The connection, which is yours: connect it, and close it. */
  readonly client: Client;
  /** The session of a chat. Default: the one of the same id. */
  readonly session?: (chatId: string) => string;
  /** How many entries of a session to begin with; see SessionOptions. */
  readonly last?: number;
  /** Which runs are answers of the chat. Default: all. */
  readonly isAnswer?: (run: RunEntry) => boolean;
  /**
   * How a Stop is asked for. Default: of the session itself, for which the user's token has to grant it; it is asked again over
   * reconnects, and works also before there is a run, if runs are opened with `answers`. It is called by `stop()` only:
   * aborting a stream, as useChat does when it is unmounted, is not a stop. Rejects where it did not get there; whether the
   * answer was stopped is told by the run's end.
   */
  readonly onStop?: (request: StopRequest) => Promise<void>;
}

type SendOptions<M extends UIMessage> = Parameters<ChatTransport<M>["sendMessages"]>[0];
type ReconnectOptions<M extends UIMessage> = Parameters<ChatTransport<M>["reconnectToStream"]>[0];

/**
 * A transport of useChat over a Holdfast session. A message is appended to the session, and survives a lost connection and
 * a reload on its way; the answer is a run, read by every tab and device. A connection that is cut is not seen by the chat:
 * the session goes on where it was. After a reload the page gets the text so far in one piece, and goes on from there.
 */
export class HoldfastChatTransport<M extends UIMessage = UIMessage> implements ChatTransport<M> {
  /** Streams begin with the start of their message: what the page has of it is made anew, from what the session holds. */
  readonly resumeStreamIsReplay = true;
  readonly #options: HoldfastChatTransportOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #messages = new Messages<M>();
  /** The runs that are being streamed into each of the chats that are followed, and how often. */
  readonly #streamed = new WeakMap<AbstractChat<M>, Map<number, number>>();
  readonly #followed = new Set<AbstractChat<M>>();
  /** The chat whose reconnecting is being asked for, in this turn. */
  #resuming: AbstractChat<M> | undefined;

  constructor(options: HoldfastChatTransportOptions) {
    this.#options = options;
  }

  /** The session of a chat, which the transport reads from the first use on until close(). */
  session(chatId: string): Session {
    const held = this.#sessions.get(chatId);
    if (held) return held;
    const { client, last } = this.#options;
    const session = client.session(this.#options.session?.(chatId) ?? chatId, last === undefined ? {} : { last });
    this.#sessions.set(chatId, session);
    return session;
  }

  /** Ends the reading of all sessions. The client stays. */
  close(): void {
    for (const session of this.#sessions.values()) session.close();
    this.#sessions.clear();
  }

  /** For useChat. */
  async sendMessages(options: SendOptions<M>): Promise<ReadableStream<UIMessageChunk>> {
    const session = this.session(options.chatId);
    const request = requestFor(options);
    // From here to the send nothing is awaited: the message is in the outbox in the same turn in which the chat shows it.
    const sent = send(session, request);
    const chat = [...this.#followed].find((chat) => chat.messages === options.messages);
    const offset = await abortable(sent, options.abortSignal);
    const answer = () => this.#answers(session).find((run) => this.#answering(run, offset));
    return this.#stream(options, chat, answer, { stopped: () => isStopped(session, offset) });
  }

  /** For useChat: the answer that is being written, or null once it is known that there is none. */
  async reconnectToStream(options: ReconnectOptions<M>): Promise<ReadableStream<UIMessageChunk> | null> {
    const session = this.session(options.chatId);
    const chat = this.#resuming;
    await upToDate(session, options.abortSignal);
    const run = this.open(options.chatId).at(-1);
    if (!run) return null;
    const before = await this.#before(session, run);
    return this.#stream(options, chat, () => run, { before });
  }

  /**
   * Stops the answer that is being written, or the one that is to come, whoever asked for it and wherever. Resolves, once
   * that is written down, with whether there was anything to stop.
   */
  async stop(chatId: string): Promise<boolean> {
    const session = this.session(chatId);
    const about = { chatId, session: session.id };
    const run = this.open(chatId).at(-1);
    if (run) {
      const answers = answersOf(run);
      const { offset, id } = run;
      await this.#ask(session, { ...about, run: { offset, id }, ...(answers !== undefined && { answers }) });
      return true;
    }
    const asked = session.entries.findLast((e) => e.kind === "message" && requestOf(e.data) !== undefined);
    if (!asked || this.#answers(session).some((r) => this.#answering(r, asked.offset))) return false;
    await this.#ask(session, { ...about, answers: asked.offset });
    return true;
  }

  async #ask(session: Session, request: StopRequest): Promise<void> {
    const { run, answers = 0 } = request;
    if (this.#options.onStop) return this.#options.onStop(request);
    await stop(session, run ? { run: run.offset } : { answers });
  }

  /**
   * Keeps a chat up to date with its session: the history, what other tabs and devices send, and answers that were not asked
   * for here, each streamed into the chat as its own are. Use it instead of useChat's `resume`. Returns what ends it.
   */
  follow(chat: AbstractChat<M>): () => void {
    // What it streams goes on where following ends and begins again, as React does in strict mode.
    if (!this.#streamed.has(chat)) this.#streamed.set(chat, new Map());
    this.#followed.add(chat);
    const end = follow(chat, this, this.#messages);
    return () => {
      end();
      this.#followed.delete(chat);
    };
  }

  /** @internal Streams the run that is open into the chat. */
  resume(chat: AbstractChat<M>): Promise<void> {
    this.#resuming = chat;
    try {
      // It asks for the stream before it first waits for anything.
      return chat.resumeStream();
    } finally {
      this.#resuming = undefined;
    }
  }

  /** @internal The answers that are being written, the oldest first. */
  open(chatId: string): RunEntry[] {
    return this.#answers(this.session(chatId)).filter((run) => run.status === "open");
  }

  /** @internal Whether a run is being streamed into the chat. */
  streams(chat: AbstractChat<M>, run: RunEntry): boolean {
    return this.#streamed.get(chat)?.has(run.offset) === true;
  }

  /** @internal The entries that make the chat. */
  entries(chatId: string): readonly Entry[] {
    const { isAnswer } = this.#options;
    const { entries } = this.session(chatId);
    return isAnswer ? entries.filter((e) => e.kind !== "run" || isAnswer(e)) : entries;
  }

  #answers(session: Session): RunEntry[] {
    const { isAnswer = () => true } = this.#options;
    return session.entries.filter((e): e is RunEntry => e.kind === "run" && isAnswer(e));
  }

  /** Whether a run answers the entry at an offset. One that does not say what it answers, answers what was there last. */
  #answering(run: RunEntry, offset: number): boolean {
    const answers = answersOf(run);
    return answers === undefined ? run.offset > offset : answers === offset;
  }

  #stream(
    { chatId, abortSignal }: { readonly chatId: string; readonly abortSignal?: AbortSignal | undefined },
    chat: AbstractChat<M> | undefined,
    find: () => RunEntry | undefined,
    more: Pick<RunStreamOptions, "before" | "stopped">,
  ): ReadableStream<UIMessageChunk> {
    const streamed = chat && this.#streamed.get(chat);
    const count = (offset: number, by: number) => {
      const n = (streamed?.get(offset) ?? 0) + by;
      if (n > 0) streamed?.set(offset, n);
      else streamed?.delete(offset);
    };
    return runStream({
      session: this.session(chatId),
      find,
      ...more,
      abortSignal,
      begun: (offset) => count(offset, 1),
      left: (offset) => count(offset, -1),
    });
  }

  /** Where a run goes on with a message that began before it, that message's chunks: its stream must give the whole. */
  async #before(session: Session, run: RunEntry): Promise<UIMessageChunk[]> {
    const earlier = session.entries.filter((e) => e.offset < run.offset);
    const messages = await this.#messages.of(earlier);
    const base = messages.find((m) => m.id === messageIdOf(run));
    return base ? chunksOf(base) : [];
  }
}

function requestFor<M extends UIMessage>({ trigger, messages, body }: SendOptions<M>): ChatRequest<M> {
  const more = body && { body };
  const last = messages.at(-1);
  if (trigger === "submit-message" && last) return { type: "message", message: last, ...more };
  return { type: "regenerate", ...(last && { after: last.id }), ...more };
}

/** Appends the request, unless it stands in the session already or is on its way: a message has an id. */
async function send<M extends UIMessage>(session: Session, request: ChatRequest<M>): Promise<number> {
  const text = JSON.stringify(request);
  const same = ({ data }: { data: unknown }) => JSON.stringify(data) === text;
  if (request.type === "message") {
    const sending = session.outbox.find(same);
    if (sending) return placeOf(session, sending);
    const waits = queueOf(session.snapshot).waiting.find(same);
    if (waits) return turnOf(session, waits.id);
    const entry = session.entries.findLast((e) => e.kind === "message" && same(e));
    if (entry) return entry.offset;
  }
  return placeOf(session, session.send(request));
}

/** The offset of a message that was sent, once it is an entry: where users take turns, it may have to wait for that. */
async function placeOf(session: Session, { id, done }: Sending): Promise<number> {
  const { offset, state } = await done;
  return state === undefined ? offset : turnOf(session, id);
}

/** The offset of a message that waits, once it has its turn; rejects if it is taken out of the queue before. */
function turnOf(session: Session, id: string): Promise<number> {
  const mine = (it: { readonly id: string }) => it.id === id;
  return new Promise((resolve, reject) => {
    const look = () => {
      const entry = session.entries.findLast(mine);
      const waits = session.outbox.some(mine) || queueOf(session.snapshot).waiting.some(mine);
      if (!entry && (waits || session.status !== "live")) return;
      unsubscribe();
      if (entry) resolve(entry.offset);
      else reject(new HoldfastError("withdrawn", "the message was taken out of the queue before it had its turn"));
    };
    const unsubscribe = session.subscribe(look);
    look();
  });
}

/** Whether the answer to an entry was stopped, and nobody has begun it: there is nothing to wait for. */
function isStopped({ snapshot }: Session, offset: number): boolean {
  return stopOf(snapshot, { answers: offset })?.state === "unreachable";
}

/** The promise, unless the signal comes first. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/** Resolves when the session holds all there is; rejects where it is denied, or with the signal's reason. */
function upToDate(session: Session, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    let unsubscribe = () => {};
    const done = (settle: () => void) => {
      unsubscribe();
      signal?.removeEventListener("abort", aborted);
      settle();
    };
    const aborted = () => done(() => reject(signal?.reason));
    const look = () => {
      if (session.status === "live") done(resolve);
      if (session.status === "denied") done(() => reject(session.error));
    };
    if (signal?.aborted) return aborted();
    signal?.addEventListener("abort", aborted);
    unsubscribe = session.subscribe(look);
    look();
  });
}
