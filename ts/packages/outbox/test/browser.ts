import type { Kept, OutboxStore } from "@holdfast/client";
import { IDBFactory } from "fake-indexeddb";
import { FakeEnv } from "../../client/test/fake-env.ts";
import { type DurableOutboxOptions, durableOutbox } from "../src/index.ts";

interface Waiting {
  readonly page: Page;
  readonly grant: () => void;
}

/** What the pages of one browser share: the databases, the locks, and the clock. */
export class FakeBrowser {
  readonly indexedDB = new IDBFactory();
  readonly pages = new Set<Page>();
  readonly held = new Map<string, Page>();
  readonly waiting = new Map<string, Waiting[]>();
  /** Another page's transaction is always before one's own, and whoever dies in the queue has written nothing. */
  busy = false;
  #seed = 1;

  /** A page in a new tab, or in that whose storage is given. */
  page(storage = new Map<string, string>()): Page {
    const page = new Page(this, storage);
    page.env.seed(++this.#seed * 7_919);
    this.pages.add(page);
    return page;
  }

  /** Lets the databases and all pages come to rest. */
  async rest(): Promise<void> {
    for (let turns = 0; turns < 25; turns++) {
      await new Promise((resolve) => setImmediate(resolve));
      for (const { env } of this.pages) await env.settle();
    }
  }

  /** Time goes on for all pages, in steps: what a timer has begun ends before the next step. */
  async advance(ms: number, step = 500): Promise<void> {
    await this.rest();
    for (let left = ms; left > 0; left -= step) {
      const timers = [...this.pages].map(({ env }) => env.timers);
      for (const { env } of this.pages) await env.advance(Math.min(step, left));
      if ([...this.pages].some(({ env }, i) => env.timers !== timers[i])) await this.rest();
    }
    await this.rest();
  }

  free(name: string): void {
    this.held.delete(name);
    this.waiting.get(name)?.shift()?.grant();
  }
}

/** One page, until it is killed. Its locks are freed then, and nothing that it still does comes to anything. */
export class Page {
  readonly env: FakeEnv;
  readonly storage: Map<string, string>;
  readonly adopted: string[] = [];
  readonly #browser: FakeBrowser;
  readonly #queued = new Set<IDBTransaction>();
  #dead = false;

  constructor(browser: FakeBrowser, storage: Map<string, string>) {
    this.#browser = browser;
    this.storage = storage;
    const get = (key: string) => storage.get(key) ?? null;
    const set = (key: string, value: string | null) => {
      if (this.#dead) return;
      if (value === null) storage.delete(key);
      else storage.set(key, value);
    };
    this.env = Object.assign(new FakeEnv(), { storage: { get, set } });
    for (const { env } of browser.pages) this.env.clock = env.clock;
  }

  /** Opens the store as a client does. */
  open(options: DurableOutboxOptions = {}, onAdopt: (kept: readonly Kept[]) => void = () => {}): OutboxStore {
    const { indexedDB, locks } = this;
    const store = durableOutbox({ indexedDB, locks, ...options })(this.env);
    store.load((kept) => {
      if (this.#dead) return;
      this.adopted.push(...kept.map(({ id }) => id));
      onAdopt(kept);
    });
    return store;
  }

  kill(): void {
    this.#dead = true;
    for (const transaction of this.#queued) transaction.abort();
    this.#browser.pages.delete(this);
    for (const queue of this.#browser.waiting.values()) {
      for (const waiting of [...queue]) if (waiting.page === this) queue.splice(queue.indexOf(waiting), 1);
    }
    for (const [name, page] of [...this.#browser.held]) if (page === this) this.#browser.free(name);
  }

  /** The same tab once more: what it had in its storage, and nothing else. */
  reload(): Page {
    this.kill();
    return this.#browser.page(this.storage);
  }

  get indexedDB(): IDBFactory {
    const factory = this.#browser.indexedDB;
    const open = (name: string, version?: number) => {
      const request = factory.open(name, version);
      request.addEventListener("success", () => this.#bind(request.result));
      return request;
    };
    return { open } as IDBFactory;
  }

  get locks(): LockManager {
    const request = (name: string, options: LockOptions, run: (lock: Lock | null) => Promise<unknown>) =>
      this.#lock(name, options, run);
    return { request } as unknown as LockManager;
  }

  /** A dead page begins no transaction; what it has committed is done all the same. */
  #bind(db: IDBDatabase): void {
    const begin = db.transaction.bind(db);
    db.transaction = (...args) => {
      if (this.#dead) throw new Error("this page is dead");
      const transaction = begin(...args);
      if (!this.#browser.busy) return transaction;
      transaction.commit = () => {};
      this.#queued.add(transaction);
      for (const end of ["complete", "abort"])
        transaction.addEventListener(end, () => this.#queued.delete(transaction));
      return transaction;
    };
  }

  async #lock(name: string, options: LockOptions, run: (lock: Lock | null) => Promise<unknown>): Promise<unknown> {
    const browser = this.#browser;
    if (options.ifAvailable && browser.held.has(name)) return run(null);
    if (browser.held.has(name)) await this.#wait(name, options.signal);
    if (this.#dead) return new Promise(() => {});
    browser.held.set(name, this);
    const result = await run({ name, mode: "exclusive" });
    if (browser.held.get(name) === this) browser.free(name);
    return result;
  }

  #wait(name: string, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting = { page: this, grant: resolve };
      const queue = this.#browser.waiting.get(name) ?? [];
      this.#browser.waiting.set(name, queue);
      queue.push(waiting);
      signal?.addEventListener("abort", () => {
        if (queue.includes(waiting)) queue.splice(queue.indexOf(waiting), 1);
        reject(new DOMException("given up", "AbortError"));
      });
    });
  }
}
