import type { Env } from "../env/env.ts";
import type { Channel, Siblings } from "../env/siblings.ts";
import type { Message } from "./messages.ts";

/** How long a channel may take to carry a message to its own page, in ms. A machine that is busy is not deaf. */
const TIMEOUT = 500;

/**
 * What this tab says to the others, and they to it. What is for one tab goes by a channel of that tab's: each of thirty tabs
 * would be woken for what concerns one of them.
 */
export class Bus {
  readonly #siblings: Siblings;
  readonly #env: Env;
  readonly #name: string;
  readonly #me: string;
  readonly #all: Channel;
  readonly #own: Channel;
  /** To the tab that frames go to. It stays open: frames must not overtake each other. */
  #line: { readonly to: string; readonly channel: Channel } | undefined;
  #endTest = () => {};
  /** Whether nobody hears this tab, as of the last test. */
  deaf = false;
  testing = false;

  constructor(siblings: Siblings, env: Env, name: string, me: string, hear: (message: Message) => void) {
    this.#siblings = siblings;
    this.#env = env;
    this.#name = name;
    this.#me = me;
    this.#all = siblings.channel(name, (message) => hear(message as Message));
    this.#own = siblings.channel(`${name}:${me}`, (message) => hear(message as Message));
  }

  post(message: Message): void {
    const to = "to" in message ? message.to : undefined;
    if (to === undefined) return this.#all.post(message);
    if (message.m === "up") return this.#lineTo(to).post(message);
    const once = this.#to(to);
    once.post(message);
    once.close();
  }

  close(): void {
    for (const channel of [this.#all, this.#own, this.#line?.channel]) channel?.close();
    // One that is left open in the back/forward cache would have the page thrown out by the first message on it.
    this.#endTest();
  }

  /** Finds out whether it is deaf: a second end of the channel, in this page, has to hear what is said on the first. */
  test(): Promise<void> {
    this.testing = true;
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
      this.#endTest = () => done(false);
      this.post({ m: "test", tab: this.#me });
    });
  }

  #to(tab: string): Channel {
    return this.#siblings.channel(`${this.#name}:${tab}`, () => {});
  }

  #lineTo(to: string): Channel {
    if (this.#line?.to !== to) {
      this.#line?.channel.close();
      this.#line = { to, channel: this.#to(to) };
    }
    return this.#line.channel;
  }
}
