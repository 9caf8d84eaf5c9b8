import type { Env } from "../env/env.ts";
import type { Channel, Siblings } from "../env/siblings.ts";
import type { Message } from "./messages.ts";

/** How long a channel may take to carry a message to its own page, in ms. */
const TIMEOUT = 100;

/** What this tab says to the others, and they to it. */
export class Bus {
  readonly #siblings: Siblings;
  readonly #env: Env;
  readonly #name: string;
  readonly #me: string;
  readonly #channel: Channel;
  /** Whether nobody hears this tab, as of the last test. */
  deaf = false;
  testedAt = 0;
  testing = false;

  constructor(siblings: Siblings, env: Env, name: string, me: string, hear: (message: Message) => void) {
    this.#siblings = siblings;
    this.#env = env;
    this.#name = name;
    this.#me = me;
    this.#channel = siblings.channel(name, (message) => hear(message as Message));
  }

  post(message: Message): void {
    this.#channel.post(message);
  }

  close(): void {
    this.#channel.close();
  }

  /** Finds out whether it is deaf: a second end of the channel, in this page, has to hear what is said on the first. */
  test(): Promise<void> {
    this.testing = true;
    this.testedAt = this.#env.now();
    return new Promise((resolve) => {
      const done = (heard: boolean) => {
        end.close();
        cancel();
        this.testing = false;
        this.deaf = !heard;
        resolve();
      };
      const end = this.#siblings.channel(this.#name, (message) => {
        const { m, tab } = message as Message & { tab?: string };
        if (m === "test" && tab === this.#me) done(true);
      });
      const cancel = this.#env.timer(() => done(false), TIMEOUT);
      this.post({ m: "test", tab: this.#me });
    });
  }
}
