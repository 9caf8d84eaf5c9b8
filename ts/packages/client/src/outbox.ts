import { Deferred } from "./deferred.ts";
import type { Cancel, Env } from "./env/env.ts";
import { HoldfastError } from "./errors.ts";
import { randomName } from "./identity.ts";
import type { Kept, OutboxStore } from "./outbox-store.ts";
import type { AckFrame, ClientFrame, CommandFrame, ErrFrame } from "./wire.ts";

/** Where a sent message stands. */
export interface Ack {
  readonly offset: number;
  /** When it was committed, by the server's clock, in Unix milliseconds. */
  readonly at: number;
  /** Of a command: how what it asked for stands. */
  readonly state?: string | undefined;
  /** Of an answer: another one was first, of this user and client if of anybody. */
  readonly lost?: boolean | undefined;
  readonly u?: string | undefined;
  readonly c?: string | undefined;
}

/** A command without what the session adds to it. */
export type Command = CommandFrame extends infer F ? (F extends CommandFrame ? Omit<F, "s" | "id"> : never) : never;

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

export interface OutboxOwner {
  transmit(frame: ClientFrame): void;
  changed(session: string): void;
  /** An answer has been outstanding for suspiciously long. */
  overdue(): void;
  /** How long an answer usually takes, in ms; 0 while unknown. */
  rtt(): number;
}

class Item implements Sending {
  state: Sending["state"] = "pending";
  error: HoldfastError | undefined;
  answer!: Deferred<Ack>;
  /** Where it stands, once that is known; when it was last transmitted, and whether that was found overdue. */
  offset: number | undefined;
  transmittedAt = 0;
  probed = false;
  readonly id: string;
  readonly session: string;
  readonly data: unknown;
  readonly at: number;
  /** Of what is no message: it is not kept, and not shown. */
  readonly command: Command | undefined;
  readonly #outbox: Outbox;

  constructor(outbox: Outbox, kept: Kept, command?: Command) {
    this.#outbox = outbox;
    this.command = command;
    this.id = kept.id;
    this.session = kept.s;
    this.data = kept.d;
    this.at = kept.a;
    this.open();
    if (kept.e) this.fail(new HoldfastError(...kept.e));
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
    return error ? { s, id, d, a, e: [error.code, error.message] } : { s, id, d, a };
  }
}

/** The pause after a refusal that is not for good, when the server names none, in ms. */
const PAUSE = 1_000;

/**
 * The messages that are not yet known to be in the log, of all sessions, in the order sent, and the commands that are not
 * answered. Ids make repeating one harmless, so whenever in doubt, it is repeated.
 */
export class Outbox {
  readonly #env: Env;
  readonly #store: OutboxStore;
  readonly #owner: OutboxOwner;
  /** Part of every id: no other page has it, even where two share a client id for a moment. */
  readonly #page: string;
  #count = 0;
  #items: readonly Item[] = [];
  #adopted = false;
  #paused: Cancel | undefined;
  #watch: Cancel | undefined;

  constructor(env: Env, store: OutboxStore, owner: OutboxOwner) {
    this.#env = env;
    this.#store = store;
    this.#owner = owner;
    this.#page = randomName(env).slice(0, 8);
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
    return this.#items.filter((item) => item.session === session && !item.command);
  }

  add(client: string, session: string, data: unknown, max: number): Sending {
    const text: string | undefined = JSON.stringify(data);
    if (text === undefined) throw new HoldfastError("invalid", "what is sent must be JSON");
    const item = new Item(this, this.#kept(client, session, JSON.parse(text)));
    const size = new TextEncoder().encode(text).length;
    // The server would end the connection over a message that is far too large, and with it all others.
    if (size > max)
      item.fail(new HoldfastError("too_large", `the message has ${size} bytes, at most ${max} are allowed`));
    this.#items = [...this.#items, item];
    this.#keep(item);
    if (item.state === "pending") this.#transmit(item);
    return item;
  }

  /** Asks for something by a command, until it is answered. A page that is reloaded meanwhile asks no more. */
  command(client: string, session: string, command: Command): Promise<Ack> {
    const item = new Item(this, this.#kept(client, session, undefined), command);
    this.#items = [...this.#items, item];
    this.#transmit(item);
    return item.done;
  }

  /** There is a new connection: whatever was under way may be lost, so all of it goes again, in order. */
  resend(): void {
    this.#paused?.();
    this.#paused = undefined;
    this.#transmitAll(this.#items);
  }

  acked(frame: AckFrame): void {
    const item = this.#items.find(({ id }) => id === frame.id);
    if (item) this.#arrived(item, { ...frame, offset: frame.o });
  }

  /** The entry itself came, before the ack or instead of it. */
  seen(id: string, offset: number, at: number): void {
    const item = this.#items.find((it) => it.id === id);
    if (item) this.#arrived(item, { offset, at });
  }

  /** The session's entries reach up to `have`: what stands there need not be shown as under way any more. */
  shown(session: string, have: number): void {
    this.#remove((item) => item.session === session && item.offset !== undefined && item.offset <= have, session);
  }

  refused(frame: ErrFrame): void {
    const item = this.#items.find(({ id }) => id === frame.id);
    if (item?.state !== "pending") return;
    if (frame.code === "rate_limited" || frame.code === "unavailable") return this.#pause(frame.after ?? PAUSE);
    item.fail(new HoldfastError(frame.code, frame.msg));
    if (item.command) this.#settled(item);
    else this.#keep(item);
  }

  retry(item: Item): void {
    if (item.state !== "failed" || !this.#items.includes(item)) return;
    item.open();
    // Its turn is over: what was sent after it has been written.
    this.#items = [...this.#items.filter((other) => other !== item), item];
    this.#store.remove(item.id);
    this.#keep(item);
    this.#transmit(item);
  }

  discard(item: Item): void {
    item.answer.reject(new HoldfastError("discarded", "the message was given up"));
    this.#remove((other) => other === item, item.session);
  }

  close(): void {
    this.#paused?.();
    this.#watch?.();
    this.#store.close?.();
    for (const item of this.#items) if (item.command) item.fail(new HoldfastError("closed", "the client was closed"));
  }

  #kept(client: string, session: string, data: unknown): Kept {
    return { s: session, id: `${client}:${this.#page}${++this.#count}`, d: data, a: this.#env.now() };
  }

  #settled(item: Item): void {
    this.#items = this.#items.filter((other) => other !== item);
  }

  #arrived(item: Item, ack: Ack): void {
    if (item.state === "sent") return;
    item.state = "sent";
    item.error = undefined;
    item.offset = ack.offset;
    item.answer.resolve(ack);
    if (item.command) return this.#settled(item);
    this.#store.remove(item.id);
    this.#owner.changed(item.session);
  }

  #remove(gone: (item: Item) => boolean, session: string): void {
    const left = this.#items.filter((item) => !gone(item));
    if (left.length === this.#items.length) return;
    for (const item of this.#items) if (gone(item) && item.state !== "sent") this.#store.remove(item.id);
    this.#items = left;
    this.#owner.changed(session);
  }

  #transmitAll(items: readonly Item[]): void {
    for (const item of items) if (item.state === "pending") this.#transmit(item);
  }

  #transmit(item: Item): void {
    // Messages wait for each other. Commands do not: a stop is not to stand in line behind what is too much already.
    if (!this.#adopted || (this.#paused && !item.command)) return;
    const { session: s, id, data } = item;
    item.transmittedAt = this.#env.now();
    item.probed = false;
    this.#owner.transmit(item.command ? { ...item.command, s, id } : { t: "send", s, id, data });
    this.#watchOver();
  }

  /** Holds all of them back, lest the order be lost. */
  #pause(ms: number): void {
    if (this.#paused) return;
    this.#paused = this.#env.timer(() => this.resend(), ms);
  }

  /** An answer that is late while somebody waits for it is the first sign of a connection that is dead. */
  #watchOver(): void {
    if (this.#watch) return;
    const patience = Math.max(1_000, 3 * this.#owner.rtt());
    this.#watch = this.#env.timer(() => {
      this.#watch = undefined;
      const open = this.#items.filter((item) => item.state === "pending" && !item.probed);
      const late = open.filter((item) => this.#env.now() - item.transmittedAt >= patience);
      for (const item of late) item.probed = true;
      if (late.length && this.#env.visible()) this.#owner.overdue();
      if (open.length > late.length) this.#watchOver();
    }, patience);
  }

  #keep(item: Item): void {
    this.#store.put(item.kept());
    this.#owner.changed(item.session);
  }

  /** What an earlier page has left goes before what this one sent meanwhile; what a closed tab has left goes after it. */
  #adopt(kept: readonly Kept[]): void {
    const held = new Set(this.#items.map(({ id }) => id));
    const adopted = kept.filter(({ id }) => !held.has(id)).map((it) => new Item(this, it));
    this.#items = this.#adopted ? [...this.#items, ...adopted] : [...adopted, ...this.#items];
    if (this.#adopted) this.#transmitAll(adopted);
    else {
      this.#adopted = true;
      this.resend();
    }
    for (const session of new Set(adopted.map((item) => item.session))) this.#owner.changed(session);
  }
}
