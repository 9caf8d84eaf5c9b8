import { attempt } from "./attempt.ts";
import type { Client } from "./client.ts";
import { Deferred } from "./deferred.ts";
import type { Cancel } from "./env/env.ts";
import { HoldfastError } from "./errors.ts";
import { randomName } from "./identity.ts";
import type { Kept, OutboxStore } from "./outbox-store.ts";
import type { ClientFrame, CommandFrame, ErrFrame, PageFrame } from "./wire.ts";

/** Where a sent message stands. */
export interface Ack {
  readonly offset: number;
  /** When it was committed, by the server's clock, in Unix milliseconds. */
  readonly at: number;
  /** Of a command: how what it asked for stands. Of a message that has to wait for its turn: "queued"; see queueOf. */
  readonly state?: string | undefined;
  /** Of an answer: another one was first, of this user and client if of anybody. */
  readonly lost?: boolean | undefined;
  readonly u?: string | undefined;
  readonly c?: string | undefined;
  /** @internal Of the asking for a page: what came. */
  readonly page?: PageFrame;
}

type Bare<F> = F extends ClientFrame ? Omit<F, "s" | "id"> : never;
/** A command without what the session adds to it. */
export type Command = Bare<CommandFrame>;

/** A message on its way. The object stays the same and its state changes; the session tells when. */
export interface Sending {
  readonly id: string;
  readonly session: string;
  readonly data: unknown;
  /** When it was sent, by this machine's clock. */
  readonly at: number;
  /**
   * - pending: the server has not answered; it is sent again over every reconnect and reload until it does.
   * - sent: it is durable, and will appear among the entries presently.
   * - failed: the server refuses it, see error. It stays until retry or discard.
   */
  readonly state: "pending" | "sent" | "failed";
  readonly error: HoldfastError | undefined;
  /** Settles with the server's answer. Not to look at it is fine: a rejection then goes nowhere. */
  readonly done: Promise<Ack>;
  /** Sends a failed one again. */
  retry(): void;
  /** Forgets it. What is pending may have arrived all the same. */
  discard(): void;
}

class Item implements Sending {
  state: Sending["state"] = "pending";
  error: HoldfastError | undefined;
  answer!: Deferred<Ack>;
  /** Where it stands, once that is known. */
  offset = Infinity;
  /** When it was transmitted over this connection, if it was; Infinity once its answer has come or was found overdue. */
  transmittedAt: number | undefined;
  readonly id: string;
  readonly session: string;
  readonly data: unknown;
  readonly at: number;
  /** Of what is no message: it is not kept, and not shown. */
  readonly command: Command | undefined;
  readonly #outbox: Outbox;

  constructor(outbox: Outbox, { id, s, d, a, e }: Kept, command?: Command) {
    this.#outbox = outbox;
    this.command = command;
    this.id = id;
    this.session = s;
    this.data = d;
    this.at = a;
    this.open();
    if (e) this.fail(new HoldfastError(...e));
  }

  get done(): Promise<Ack> {
    return this.answer.promise;
  }

  open(): void {
    this.state = "pending";
    this.error = undefined;
    this.answer = new Deferred();
    this.done.catch(() => {});
  }

  fail(error: HoldfastError): void {
    this.state = "failed";
    this.error = error;
    this.answer.reject(error);
  }

  retry(): void {
    this.#outbox.retry(this);
  }

  discard(): void {
    this.#outbox.discard(this);
  }

  kept(): Kept {
    const { session: s, id, data: d, at: a, error } = this;
    return { s, id, d, a, e: error && [error.code, error.message] };
  }
}

/** The pause after a refusal that is not for good, when the server names none, in ms. */
const PAUSE = 1_000;
/**
 * How many messages of a session go before the first of them is answered. All that are unanswered go again over each new connection and
 * after each refusal: of thousands, more would be repeated than a server takes, and it would never be caught up with.
 */
const WINDOW = 64;

/**
 * The messages that are not yet known to be in the log, of all sessions, in the order sent, and the commands that are not
 * answered. Ids make repeating one harmless, so whenever in doubt, it is repeated.
 */
export class Outbox {
  readonly #client: Client;
  readonly #store: OutboxStore;
  /** Part of every id: no other page has it, even where two share a client id for a moment. */
  readonly #page: string;
  #count = 0;
  #items = new Map<string, Item>();
  /** The messages that wait for an answer, in order: the first of them are under way. */
  readonly #open = new Set<Item>();
  #adopted = false;
  #paused: Cancel | undefined;
  #watch: Cancel | undefined;

  constructor(client: Client, store: OutboxStore) {
    this.#client = client;
    this.#store = store;
    this.#page = randomName(client.env).slice(0, 8);
  }

  /** Takes over what is kept. Nothing is transmitted before. */
  load(): void {
    this.#store.load((kept) => this.#adopt(kept));
  }

  /** How long an unsent message lasts. */
  get lasts(): OutboxStore["lasts"] {
    return this.#store.lasts;
  }

  of(session: string): readonly Sending[] {
    return [...this.#items.values()].filter((item) => item.session === session && !item.command);
  }

  add(session: string, data: unknown, max: number): Sending {
    const text = attempt((): string | undefined => JSON.stringify(data));
    if (text === undefined) throw new HoldfastError("invalid", "no JSON");
    const item = this.#make(session, JSON.parse(text));
    const size = new TextEncoder().encode(text).length;
    // The server would end the connection over a message that is far too large, and with it all others.
    if (size > max) item.fail(new HoldfastError("too_large", `${size} bytes, at most ${max}`));
    this.#store.put(item.kept());
    this.#queue([item]);
    return item;
  }

  /** Asks for something by a command, until it is answered. A page that is reloaded meanwhile asks no more. */
  command(session: string, command: Command): Promise<Ack> {
    const item = this.#make(session, undefined, command);
    this.#queue([item]);
    return item.done;
  }

  /** There is a new connection: whatever was under way may be lost, so all of it goes again, in order. */
  resend(): void {
    this.#paused?.();
    this.#paused = undefined;
    this.#open.clear();
    this.#queue([...this.#items.values()]);
  }

  /** The answer of the server, or the entry itself, which may come before it or instead of it. */
  arrived(id: string, ack: Ack): void {
    const item = this.#items.get(id);
    if (!item || item.state === "sent") return;
    item.state = "sent";
    item.error = undefined;
    item.offset = ack.offset;
    item.answer.resolve(ack);
    if (!item.command) this.#store.remove(id);
    this.#over(item);
  }

  /** The session's entries reach up to `have`: what stands there need not be shown as under way any more. */
  shown(session: string, have: number): void {
    for (const item of this.#items.values()) {
      if (item.session !== session || item.offset > have) continue;
      this.#items.delete(item.id);
      this.#changed(session);
    }
  }

  refused({ id = "", code, msg, after = PAUSE }: ErrFrame): void {
    const item = this.#items.get(id);
    if (item?.state !== "pending") return;
    item.transmittedAt = Infinity;
    // All of them are held back, lest the order be lost.
    if (code === "rate_limited" || code === "unavailable")
      this.#paused ??= this.#client.env.timer(() => this.resend(), after);
    else {
      item.fail(new HoldfastError(code, msg));
      if (!item.command) this.#store.put(item.kept());
      this.#over(item);
    }
  }

  retry(item: Item): void {
    if (item.state !== "failed" || !this.#items.has(item.id)) return;
    // Its turn is over: what was sent after it has been written.
    item.open();
    this.#store.remove(item.id);
    this.#store.put(item.kept());
    this.#queue([item]);
  }

  discard(item: Item): void {
    item.answer.reject(new HoldfastError("discarded", "discarded"));
    this.#items.delete(item.id);
    this.#store.remove(item.id);
    this.#over(item);
  }

  close(): void {
    this.#paused?.();
    this.#watch?.();
    this.#store.close?.();
    for (const item of this.#items.values()) if (item.command) item.fail(new HoldfastError("closed", "closed"));
  }

  #make(session: string, data: unknown, command?: Command): Item {
    const { clientId, env } = this.#client;
    const id = `${clientId}:${this.#page}${++this.#count}`;
    return new Item(this, { s: session, id, d: data, a: env.now() }, command);
  }

  /** Puts them behind all others. Messages wait for each other; a stop is not to stand in line behind what is too much already. */
  #queue(items: readonly Item[]): void {
    for (const item of items) {
      this.#items.delete(item.id);
      this.#items.set(item.id, item);
      this.#changed(item.session);
      if (item.state !== "pending" || !this.#adopted) continue;
      item.transmittedAt = undefined;
      if (item.command) this.#write(item, item.command);
      else this.#open.add(item);
    }
    this.#transmit();
  }

  #transmit(): void {
    const sent = new Map<string, number>();
    for (const item of this.#open) {
      if (this.#paused) return;
      const before = sent.get(item.session) ?? 0;
      sent.set(item.session, before + 1);
      if (before >= WINDOW || item.transmittedAt) continue;
      // Nothing that the server may have refused for now stands before the first.
      this.#write(item, { t: "send", first: !before || undefined, data: item.data });
    }
  }

  #write(item: Item, frame: Bare<CommandFrame | Extract<ClientFrame, { t: "send" }>>): void {
    const { env, link } = this.#client;
    item.transmittedAt = env.now();
    link.send({ ...frame, s: item.session, id: item.id });
    this.#watchOver();
  }

  /** It needs no answer any more: there is room for another. */
  #over(item: Item): void {
    if (item.command) this.#items.delete(item.id);
    this.#open.delete(item);
    item.transmittedAt = Infinity;
    this.#changed(item.session);
    this.#transmit();
  }

  /** An answer that is late while somebody waits for it is the first sign of a connection that is dead. */
  #watchOver(): void {
    const { env, link } = this.#client;
    const patience = Math.max(1_000, 3 * link.stats.rtt);
    this.#watch ??= env.timer(() => {
      this.#watch = undefined;
      let late = false;
      for (const item of this.#items.values()) {
        const waited = env.now() - (item.transmittedAt ?? Infinity);
        if (waited >= patience) {
          item.transmittedAt = Infinity;
          late = true;
        } else if (waited > -Infinity) this.#watchOver();
      }
      if (late && env.visible()) link.suspect();
    }, patience);
  }

  #changed(session: string): void {
    this.#client.sessions.get(session)?.changed();
  }

  /** What an earlier page has left goes before what this one sent meanwhile; what a closed tab has left goes after it. */
  #adopt(kept: readonly Kept[]): void {
    const left = kept.filter(({ id }) => !this.#items.has(id)).map((it) => new Item(this, it));
    const early = this.#adopted ? [] : this.#items.values();
    this.#adopted = true;
    this.#queue([...left, ...early]);
  }
}
