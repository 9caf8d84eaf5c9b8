import { Connection } from "../connection.ts";
import { CLOSE_SUPERSEDED } from "../connection-state.ts";
import { Identity } from "../identity.ts";
import type { LinkParts, OwnedFrame } from "../link.ts";
import type { WelcomeFrame } from "../wire.ts";
import { Hub } from "./hub.ts";
import type { Lease } from "./messages.ts";

/** The one client that all tabs are to the server, whichever of them leads: so that it lets only the latest leader live. */
export class SharedIdentity extends Identity {
  /** The generation given last. */
  epoch = 0;

  override nextGeneration(): number {
    this.epoch = Math.max(super.nextGeneration(), this.epoch + 1);
    return this.epoch;
  }
}

export interface LeadershipOwner {
  /** To one tab, or to all. */
  tell(frames: readonly OwnedFrame[], to?: string): void;
  /** The connection, or what is known of it, has changed. */
  changed(): void;
  /** A frame has come from the server. */
  heard(): void;
  superseded(): void;
  /** A number for a connection that was let in, another one each time. */
  link(): number;
  welcomed(frame: WelcomeFrame): void;
}

/** A connection and the hub on it, for all tabs of a browser or, where that cannot be, for this one. */
export class Leadership {
  readonly hub: Hub;
  readonly connection: Connection;
  /** How many messages have been told to other tabs. */
  told = 0;
  readonly #tab: string;
  readonly #parts: LinkParts;
  readonly #identity: Identity;
  #welcome: WelcomeFrame | undefined;
  #link = 0;
  #over = false;

  constructor(tab: string, parts: LinkParts, identity: Identity, owner: LeadershipOwner) {
    this.#tab = tab;
    this.#parts = parts;
    this.#identity = identity;
    const { env } = parts;
    this.hub = new Hub({
      client: identity.id,
      user: () => this.#welcome?.user ?? "",
      open: () => this.connection.open,
      write: (frame) => this.connection.send(frame),
      tell: (frames, to) => this.#over || owner.tell(frames, to),
      soon: (run) => env.soon(run),
      now: () => env.now(),
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
            this.#link = owner.link();
            this.hub.welcomed();
            owner.welcomed(frame);
          }),
        frame: (frame) =>
          still(() => {
            this.hub.frame(frame);
            owner.heard();
          }),
        cut: () =>
          still(() => {
            this.#welcome = undefined;
            this.hub.cut();
            // Whether it was superseded shows when the connection has come to its next state.
            env.soon(() => still(() => owner.changed()));
          }),
        changed: () => still(() => (this.#lost() ? owner.superseded() : owner.changed())),
        upToDate: () => this.hub.upToDate(),
      },
    });
  }

  get shared(): boolean {
    return this.#identity instanceof SharedIdentity;
  }

  get lease(): Lease {
    const { env } = this.#parts;
    const epoch = this.#identity instanceof SharedIdentity ? this.#identity.epoch : 0;
    const { state, stats } = this.connection;
    const { tab, link, welcome, told } = { tab: this.#tab, link: this.#link, welcome: this.#welcome, told: this.told };
    return { m: "lease", tab, epoch, visible: env.visible(), at: env.now(), state, stats, link, welcome, told };
  }

  /** Whether the server has let it in. */
  get attached(): boolean {
    return this.#welcome !== undefined;
  }

  end(): void {
    this.#over = true;
    this.connection.disconnect();
  }

  #lost(): boolean {
    const { state } = this.connection;
    return this.shared && state.name === "ended" && state.code === CLOSE_SUPERSEDED;
  }
}
