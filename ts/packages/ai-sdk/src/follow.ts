import type { RunEntry } from "@holdfast/client";
import type { AbstractChat, UIMessage } from "ai";
import { type LogEntry, messageIdOf } from "./log.ts";
import type { Messages } from "./messages.ts";
import type { HoldfastChatTransport } from "./transport.ts";

/** Keeps a chat up to date with its session; see HoldfastChatTransport.follow. */
export function follow<M extends UIMessage>(
  chat: AbstractChat<M>,
  transport: HoldfastChatTransport<M>,
  messages: Messages<M>,
): () => void {
  const following = new Following(chat, transport, messages);
  return () => following.end();
}

class Following<M extends UIMessage> {
  readonly #chat: AbstractChat<M>;
  readonly #transport: HoldfastChatTransport<M>;
  readonly #messages: Messages<M>;
  readonly #unsubscribe: () => void;
  /** What the log said of each message when it was last shown. */
  #shown = new Map<string, M>();
  /** Runs whose streaming failed: they are shown as they stand, and not streamed again. */
  readonly #failed = new Set<number>();
  #syncing = false;
  #again = false;
  #ended = false;

  constructor(chat: AbstractChat<M>, transport: HoldfastChatTransport<M>, messages: Messages<M>) {
    this.#chat = chat;
    this.#transport = transport;
    this.#messages = messages;
    this.#unsubscribe = transport.session(chat.id).subscribe(() => void this.#sync());
    void this.#sync();
  }

  end(): void {
    this.#ended = true;
    this.#unsubscribe();
  }

  async #sync(): Promise<void> {
    this.#again = true;
    if (this.#syncing) return;
    this.#syncing = true;
    try {
      while (this.#again && !this.#ended) {
        this.#again = false;
        await this.#messages.of(this.#entries());
        if (!this.#ended) this.#show();
      }
    } finally {
      this.#syncing = false;
    }
  }

  /** The log, without what is being streamed into the chat and is its own to show, and what is on its way to the log. */
  #entries(): readonly LogEntry[] {
    const { id } = this.#chat;
    const { outbox } = this.#transport.session(id);
    const sending = outbox.map((s): LogEntry => ({ kind: "message", offset: Infinity, id: s.id, data: s.data }));
    const written = this.#transport.entries(id).filter((e) => e.kind !== "run" || !this.#streams(e));
    return [...written, ...sending];
  }

  #streams(run: RunEntry): boolean {
    if (this.#transport.streams(this.#chat, run)) return true;
    // What is about to be streamed is not shown before: the stream begins with an empty message.
    return this.#idle && this.#next() === run;
  }

  get #idle(): boolean {
    return this.#chat.status === "ready" || this.#chat.status === "error";
  }

  /** The run to stream next. */
  #next(): RunEntry | undefined {
    const session = this.#transport.session(this.#chat.id);
    if (session.status !== "live") return undefined;
    return this.#transport.open(this.#chat.id).findLast((run) => !this.#failed.has(run.offset));
  }

  #show(): void {
    // Synchronous from here on: a message that the chat takes in the meantime would be lost else.
    let complete = true;
    const log = this.#messages.now(this.#entries(), () => (complete = false));
    if (!complete) {
      this.#again = true;
      return;
    }
    const current = this.#chat.messages;
    const next = this.#merge(current, log);
    const same = next.length === current.length && next.every((m, i) => m === current[i]);
    if (!same) this.#chat.messages = next;
    const run = this.#next();
    if (run && this.#idle && !this.#transport.streams(this.#chat, run)) void this.#stream(run);
  }

  /**
   * The log decides which messages there are and in which order. Of a message that is the chat's as well, the chat's version
   * stays until the log has another one than when it was last shown: it may have the output of a tool that is not sent yet.
   */
  #merge(current: readonly M[], log: readonly M[]): M[] {
    const held = new Map(current.map((m) => [m.id, m]));
    const streamed = this.#streamedIds();
    const next = log.map((m) => {
      const mine = held.get(m.id);
      const known = this.#shown.get(m.id);
      return mine && (known === m || streamed.has(m.id) || equal(mine, m)) ? mine : m;
    });
    const listed = new Set(log.map((m) => m.id));
    const before = this.#shown;
    this.#shown = new Map(log.map((m) => [m.id, m]));
    // What the log has never had is the page's: older messages that it was given, an answer that is being streamed.
    const first = current.findIndex((m) => listed.has(m.id) || before.has(m.id));
    const own = current.map((m, i) => ({ m, leads: first < 0 || i < first }));
    const keep = own.filter(({ m }) => !listed.has(m.id) && (!before.has(m.id) || streamed.has(m.id)));
    return [
      ...keep.filter(({ m, leads }) => leads && !streamed.has(m.id)).map(({ m }) => m),
      ...next,
      ...keep.filter(({ m, leads }) => !leads || streamed.has(m.id)).map(({ m }) => m),
    ];
  }

  #streamedIds(): Set<string> {
    const { id } = this.#chat;
    return new Set(
      this.#transport
        .entries(id)
        .filter((e) => e.kind === "run")
        .filter((run) => this.#streams(run))
        .map(messageIdOf),
    );
  }

  /** Streams a run into the chat, as the chat's own reconnecting does. */
  async #stream(run: RunEntry): Promise<void> {
    await this.#transport.resume(this.#chat);
    if (this.#chat.status === "error") this.#failed.add(run.offset);
    void this.#sync();
  }
}

function equal(a: UIMessage, b: UIMessage): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
