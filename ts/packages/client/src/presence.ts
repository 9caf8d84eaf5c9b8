import type { Cancel } from "./env/env.ts";
import { Listeners } from "./listeners.ts";
import type { Session } from "./session.ts";
import type { MemberItem, MembersFrame } from "./wire.ts";

/** A device or tab of a user that reads a session. */
export interface Member {
  readonly user: string;
  readonly client: string;
  /** What it calls itself, "" for nothing. */
  readonly name: string;
  /** Nobody looks at it. */
  readonly away: boolean;
  /** Since when it is here, or away, in Unix milliseconds of the server. */
  readonly since: number;
  /** The offset up to which its user has read, and it has shown, if that is of the log that is shown here; else 0. */
  readonly read: number;
  readonly shown: number;
}

/** How long after a change it is told what is shown, and how often it is told that somebody looks, in ms. */
const PAUSE = 1_000;
const ALIVE = 25_000;

/** Who is there in a session. Made by presenceOf. */
export class Presence {
  readonly #session: Session;
  readonly #listeners = new Listeners<void>();
  readonly #stop: readonly Cancel[];
  #items = new Map<string, MemberItem>();
  #members: readonly Member[] | undefined;
  #read = 0;
  /** The log that the session shows. */
  #epoch = "";
  /** What the server was told last on this connection. */
  #told = "";
  #timer: Cancel | undefined;
  #beat: Cancel | undefined;

  /** @internal */
  constructor(session: Session) {
    this.#session = session;
    this.#stop = [
      session.members.add((frame) => this.#take(frame)),
      session.subscribe(() => this.#changed()),
      session.ending.add(() => this.#end()),
    ];
    session.again({ watch: true });
    this.#alive();
  }

  /** All who are there, this window too, in the order in which they came; the same list until something changes. */
  get members(): readonly Member[] {
    this.#members ??= this.#list();
    return this.#members;
  }

  /** Calls `listener` after changes. Returns what ends it. */
  subscribe(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }

  /** Tells the others that the user has read all up to an offset; by default, all there is. It never moves back. */
  read(offset = this.#session.held.have): void {
    this.#compare();
    this.#read = Math.max(this.#read, offset);
    this.#say();
  }

  /** Asks no more, and tells no more. */
  close(): void {
    if (open.get(this.#session) !== this) return;
    this.#end();
    // One that is denied has nobody to tell of, and is not to be asked for anew by this.
    if (this.#session.status !== "denied") this.#session.again({ watch: undefined });
  }

  #end(): void {
    for (const stop of [...this.#stop, this.#timer, this.#beat]) stop?.();
    this.#listeners.clear();
    open.delete(this.#session);
  }

  #list(): Member[] {
    const epoch = this.#epoch;
    return [...this.#items.values()].map(({ u, c, name = "", away = false, since = 0, e, o = 0, got = 0 }) => {
      const [read, shown] = e === epoch ? [o, got] : [0, 0];
      return { user: u, client: c, name, away, since, read, shown };
    });
  }

  #take(frame: MembersFrame): void {
    if (frame.all) {
      this.#items = new Map();
      // A new connection, or a new leader: it knows nothing yet.
      this.#told = "";
      this.#soon();
    }
    for (const item of frame.members ?? []) this.#items.set(keyOf(item), item);
    for (const item of frame.left ?? []) this.#items.delete(keyOf(item));
    this.#members = undefined;
    this.#listeners.tell();
  }

  #changed(): void {
    this.#compare();
    this.#soon();
  }

  /** What is known of another log than that which is shown is nothing here, and what was read of it either. */
  #compare(): void {
    const { epoch } = this.#session.held;
    if (epoch === this.#epoch) return;
    if (this.#epoch) this.#read = 0;
    this.#epoch = epoch;
    this.#members = undefined;
    this.#listeners.tell();
  }

  #soon(): void {
    this.#timer ??= this.#session.client.env.timer(() => {
      this.#timer = undefined;
      this.#say();
    }, PAUSE);
  }

  /** That somebody looks is known by this only: a page that is stopped still answers pings, but says nothing by itself. */
  #alive(): void {
    const { env } = this.#session.client;
    this.#beat = env.timer(() => {
      if (env.visible()) this.#say(true);
      this.#alive();
    }, ALIVE);
  }

  #say(again = false): void {
    const { id, held, status, client } = this.#session;
    const { have } = held;
    const epoch = this.#epoch;
    if (status !== "live" || !client.link.open) return;
    const told = JSON.stringify([epoch, this.#read, have]);
    if (told === this.#told && !again) return;
    this.#told = told;
    client.link.send({ t: "read", s: id, e: epoch, o: Math.min(this.#read, have), got: have });
  }
}

const keyOf = ({ u, c }: { readonly u: string; readonly c: string }) => JSON.stringify([u, c]);

const open = new WeakMap<Session, Presence>();

/**
 * Who is there in a session, and how far each has read. For one session it is the same object until it is closed. Ask for it right
 * after client.session(): then it comes with the session's first answer.
 */
export function presenceOf(session: Session): Presence {
  let presence = open.get(session);
  if (!presence) open.set(session, (presence = new Presence(session)));
  return presence;
}
