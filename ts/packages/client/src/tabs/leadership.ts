import { Connection } from "../connection.ts";
import { CLOSE_SUPERSEDED } from "../connection-state.ts";
import type { Env } from "../env/env.ts";
import { Identity } from "../identity.ts";
import type { LinkParts } from "../link.ts";
import type { WelcomeFrame } from "../wire.ts";
import { Hub, type HubOwner } from "./hub.ts";
import type { Lease } from "./messages.ts";

/** How long others are kept from a connection at most while what it reads is on its way, in ms. */
const READY = 250;

/** The one client that all tabs are to the server, whichever of them leads: so that it lets only the latest leader live. */
export class SharedIdentity extends Identity {
  /** The generation given last. */
  epoch = 0;

  override nextGeneration(): number {
    this.epoch = Math.max(super.nextGeneration(), this.epoch + 1);
    return this.epoch;
  }
}

export interface LeadershipOwner extends Pick<HubOwner, "tab" | "here" | "tell" | "gone"> {
  /** The connection, or what is known of it, has changed. */
  changed(): void;
  /** A frame has come from the server. */
  heard(): void;
  superseded(): void;
  /** A number for a connection that was let in, another one each time. */
  link(): number;
  welcomed(frame: WelcomeFrame): void;
}

/** A connection for all tabs of a browser, and the hub on it. */
export class Leadership {
  readonly hub: Hub;
  readonly connection: Connection;
  /** How many messages have been told to other tabs. */
  told = 0;
  readonly #tab: string;
  readonly #env: Env;
  readonly #identity: SharedIdentity;
  readonly #owner: LeadershipOwner;
  #welcome: WelcomeFrame | undefined;
  /** The number of the connection that there is, or was last. */
  link = 0;
  #ready = false;
  #over = false;

  constructor(parts: LinkParts, identity: SharedIdentity, owner: LeadershipOwner) {
    const { env } = parts;
    const { tab } = owner;
    this.#tab = tab;
    this.#env = env;
    this.#identity = identity;
    this.#owner = owner;
    this.hub = new Hub(env, identity.id, {
      tab,
      here: (frame) => this.#over || owner.here(frame),
      tell: (frames, to) => this.#over || owner.tell(frames, to),
      gone: owner.gone,
    });
    // What is over tells nobody anything: its last words would be taken for its successor's.
    const still = (run: () => void) => {
      if (!this.#over) run();
    };
    this.connection = new Connection({
      ...parts,
      identity,
      owner: {
        attach: () => this.hub.attach(),
        welcomed: (frame) =>
          still(() => {
            this.#welcome = frame;
            this.link = owner.link();
            this.hub.welcomed();
            owner.welcomed(frame);
            env.timer(() => still(() => this.#prepared()), READY);
            if (this.hub.upToDate()) this.#prepared();
          }),
        frame: (frame) =>
          still(() => {
            this.hub.frame(frame);
            if (!this.#ready && this.hub.upToDate()) this.#prepared();
            owner.heard();
          }),
        cut: () =>
          still(() => {
            this.#welcome = undefined;
            this.#ready = false;
            this.hub.cut();
            // Whether it was superseded shows when the connection has come to its next state.
            env.soon(() => still(() => owner.changed()));
          }),
        changed: () => still(() => (this.#lost() ? owner.superseded() : owner.changed())),
        upToDate: () => this.hub.upToDate(),
      },
    });
    this.hub.line = this.connection;
  }

  get lease(): Lease {
    const { state, stats } = this.connection;
    return {
      m: "lease",
      tab: this.#tab,
      epoch: this.#identity.epoch,
      visible: this.#env.visible(),
      at: this.#env.now(),
      state,
      stats,
      link: this.link,
      welcome: this.#ready ? this.#welcome : undefined,
      told: this.told,
    };
  }

  /** The server's welcome, while it lets this one be. */
  get welcome(): WelcomeFrame | undefined {
    return this.#welcome;
  }

  end(): void {
    this.hub.end();
    this.#over = true;
    this.connection.disconnect();
  }

  /** The others come when there is something to give them: first of all the tab has it that made the connection. */
  #prepared(): void {
    if (this.#ready || !this.#welcome) return;
    this.#ready = true;
    this.#owner.changed();
  }

  #lost(): boolean {
    const { state } = this.connection;
    return state.name === "ended" && state.code === CLOSE_SUPERSEDED;
  }
}
