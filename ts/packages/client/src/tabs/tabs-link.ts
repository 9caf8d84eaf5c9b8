import { Connection } from "../connection.ts";
import { INITIAL } from "../connection-state.ts";
import type { State } from "../connection-types.ts";
import type { Cancel, PageSignal } from "../env/env.ts";
import type { Siblings } from "../env/siblings.ts";
import { HoldfastError } from "../errors.ts";
import type { ConnectionStats, Link, LinkParts } from "../link.ts";
import type { Act, ClientFrame } from "../wire.ts";
import { Member } from "./member.ts";
import { claimsOf } from "./user.ts";

/** When a tab that had to be alone looks whether it still has to, in ms. */
const RETRY = 15_000;
/** How long the application may take to say who is signed in, in ms, before the tab has a connection of its own. */
const PATIENCE = 5_000;
const CONNECTING: State = { ...INITIAL, name: "dialing" };
const NOTHING: ConnectionStats = { connection: "", user: "", dials: 0, welcomes: 0, received: 0, sent: 0, rtt: 0 };

/**
 * The link of a tab that shares one connection with others. To the client above it looks like any other: it is attached,
 * cut and attached again, with cursors.
 */
export class TabsLink implements Link {
  readonly #parts: LinkParts;
  readonly #siblings: Siblings;
  readonly #givenUser: string | undefined;
  readonly #steals: number[] = [];

  #wanted = false;
  /** What the user has done to have it connect, for what comes of it. */
  #act: Act | undefined;
  #stopSignals: Cancel | undefined;
  /** Attempts to begin, so that one that was given up does nothing any more. */
  #beginnings = 0;
  #member: Member | undefined;
  /** The connection of a tab that shares nothing: its user is not known, or nobody hears it. */
  #plain: Connection | undefined;
  /** It shares nothing with the others, whatever they do. */
  #forGood = false;

  constructor(parts: LinkParts, siblings: Siblings, user: string | undefined) {
    this.#parts = parts;
    this.#siblings = siblings;
    this.#givenUser = user;
  }

  get state(): State {
    if (!this.#wanted) return INITIAL;
    return (this.#plain ?? this.#member?.shown)?.state ?? CONNECTING;
  }

  get stats(): ConnectionStats {
    return (this.#plain ?? this.#member?.shown)?.stats ?? NOTHING;
  }

  get open(): boolean {
    return (this.#plain ?? this.#member)?.open === true;
  }

  connect(act: Act = "open"): void {
    this.#wanted = true;
    if (this.#plain) return this.#plain.connect(act);
    if (this.#member) return this.#member.call(act);
    this.#act = act;
    this.#stopSignals ??= this.#parts.env.signals((signal) => this.#signal(signal));
    void this.#begin();
    this.#parts.owner.changed();
  }

  disconnect(): void {
    this.#wanted = false;
    this.#leavePlain();
    this.#end();
    this.#stopSignals?.();
    this.#stopSignals = undefined;
    this.#parts.owner.changed();
  }

  retry(): void {
    if (this.#plain) this.#plain.retry();
    else this.#member?.call("retry");
  }

  suspect(): void {
    if (this.#plain) this.#plain.suspect();
    else this.#member?.call("suspect");
  }

  send(frame: ClientFrame): void {
    (this.#plain ?? this.#member)?.send(frame);
  }

  async #begin(): Promise<void> {
    const turn = ++this.#beginnings;
    // A question in a dead network may never be answered. A connection asks again, and hears of the network.
    this.#parts.env.timer(() => turn === this.#beginnings && !this.#member && this.#goPlain(false), PATIENCE);
    const user = await this.#whoAmI();
    if (turn !== this.#beginnings) return;
    if (typeof user === "boolean") return this.#goPlain(user);
    this.#member = new Member(this.#parts, this.#siblings, user, this.#steals, {
      act: () => this.#act,
      fed: () => {
        this.#act = undefined;
        this.#leavePlain();
      },
      alone: (forGood) => this.#goPlain(forGood),
      token: (token) => {
        if (this.#givenUser !== undefined || claimsOf(token)?.user === user) return;
        this.#goPlain(true);
        throw new Error("the token is another user's");
      },
    });
    this.#parts.owner.changed();
  }

  /** The user, or whether there is none for good. */
  async #whoAmI(): Promise<string | boolean> {
    const { token, env } = this.#parts;
    if (this.#givenUser !== undefined) return this.#givenUser;
    try {
      return claimsOf(token.usable(env.now()) ? token.value : await token.fetch(env.now()))?.user ?? true;
    } catch (error) {
      // A connection of its own finds the same, and says so. A network that is not up yet will be.
      return error instanceof HoldfastError && error.code === "unauthorized";
    }
  }

  #goPlain(forGood: boolean): void {
    this.#end();
    this.#forGood = forGood;
    if (!this.#plain) {
      this.#plain = new Connection(this.#parts);
      this.#plain.connect(this.#act);
      this.#act = undefined;
    }
    if (forGood) return;
    // It may be heard later on, or have its token. Until it is fed by the others, its own connection serves.
    const turn = this.#beginnings;
    this.#parts.env.timer(() => turn === this.#beginnings && void this.#begin(), RETRY);
  }

  #leavePlain(): void {
    const plain = this.#plain;
    this.#plain = undefined;
    this.#forGood = false;
    plain?.disconnect();
  }

  #end(): void {
    this.#beginnings++;
    this.#member?.end();
    this.#member = undefined;
  }

  #signal(signal: PageSignal): void {
    if (signal === "stored" || signal === "leaving") {
      // A page in the back/forward cache is thrown out of it by a message that it is sent, or by a lock that it holds.
      this.#end();
      return this.#parts.owner.changed();
    }
    if (this.#member) this.#member.look();
    // A connection of its own is no reason to stay alone: the look that was due may have fallen into the time away.
    else if (!this.#forGood && (signal === "restored" || signal === "visible")) void this.#begin();
  }
}
