import fc from "fast-check";
import { expect, it } from "vitest";
import { FakeServer } from "../../client/test/fake-server.ts";
import { Client } from "../../client/src/index.ts";
import { durableOutbox } from "../src/index.ts";
import { FakeBrowser, type Page } from "./browser.ts";

/** One tab, in whichever page it has now: what it sent, and how. */
interface Tab {
  readonly name: string;
  readonly sent: string[];
  page: Page;
  server: FakeServer;
  client: Client;
}

/** A browser whose tabs send into one log, while everything goes wrong. */
class World {
  readonly browser = new FakeBrowser();
  readonly tabs: Tab[] = [];
  readonly closed: Tab[] = [];
  /** What all servers of this world write to. */
  readonly #log = new FakeServer(this.browser.page().env).logs;
  readonly #locks: boolean;
  down = false;
  acks = true;

  constructor(locks: boolean) {
    this.#locks = locks;
  }

  async open(storage?: Map<string, string>): Promise<void> {
    const page = this.browser.page(storage);
    const name = `t${this.tabs.length + this.closed.length}`;
    this.tabs.push({ name, sent: [], page, ...this.#start(page) });
    await this.browser.rest();
  }

  async reload(tab: Tab): Promise<void> {
    tab.page = tab.page.reload();
    Object.assign(tab, this.#start(tab.page));
    await this.browser.rest();
  }

  close(tab: Tab): void {
    tab.page.kill();
    this.closed.push(...this.tabs.splice(this.tabs.indexOf(tab), 1));
  }

  /** The browser's "open closed tab": the tab has its storage again. */
  async restore(): Promise<void> {
    const tab = this.closed.pop();
    if (!tab) return;
    this.tabs.push(tab);
    await this.reload(tab);
  }

  send(tab: Tab): void {
    const text = `${tab.name}:${tab.sent.length}`;
    tab.sent.push(text);
    tab.client.session("chat").send(text);
  }

  get log(): unknown[] {
    return (this.#log.get("chat")?.entries ?? []).map(({ item }) => item.data);
  }

  #start(page: Page): { server: FakeServer; client: Client } {
    const server = Object.assign(new FakeServer(page.env), { logs: this.#log });
    const world = this;
    Object.defineProperty(server, "acks", { get: () => world.acks });
    const accept = page.env.onDial;
    page.env.onDial = (pipe) => (world.down ? pipe.end() : accept(pipe));
    const { indexedDB } = page;
    const locks = this.#locks ? page.locks : null;
    const outbox = durableOutbox({ indexedDB, locks });
    const client = new Client({ env: page.env, url: "ws://host/v1/ws", token: "tok", outbox });
    client.connect();
    return { server, client };
  }
}

const ops = fc.array(
  fc.record({
    do: fc.constantFrom(
      "send",
      "send",
      "send",
      "reload",
      "close",
      "open",
      "copy",
      "restore",
      "cut",
      "down",
      "acks",
      "wait",
    ),
    n: fc.nat(20),
  }),
  { minLength: 5, maxLength: 30 },
);

type Op = { readonly do: string; readonly n: number };

async function perform(world: World, { do: what, n }: Op): Promise<void> {
  const tab = world.tabs[n % Math.max(1, world.tabs.length)];
  if (!tab || what === "open") return world.open();
  switch (what) {
    case "restore":
      return world.restore();
    case "send":
      return world.send(tab);
    case "reload":
      return world.reload(tab);
    case "close":
      return world.close(tab);
    case "copy":
      return world.open(new Map(tab.page.storage));
    case "cut":
      return tab.page.env.pipes.at(-1)?.end();
    case "down":
      world.down = !world.down;
      return;
    case "acks":
      world.acks = !world.acks;
      return;
    case "wait":
      return world.browser.advance(n * 1_500, 1_500);
  }
}

/** All is well again, and time passes: longer than a claim of a closed tab lasts. */
async function recover(world: World): Promise<void> {
  world.down = false;
  world.acks = true;
  if (!world.tabs.length) await world.open();
  await world.browser.advance(180_000, 5_000);
}

it.each([true, false])(
  "whatever tabs go through, the log has each message once, in its tab's order (locks: %s)",
  async (locks) => {
    await fc.assert(
      fc.asyncProperty(ops, async (sequence) => {
        const world = new World(locks);
        for (const op of sequence) await perform(world, op);
        await recover(world);
        const { log } = world;
        expect(new Set(log).size).toBe(log.length);
        for (const { name, sent } of [...world.tabs, ...world.closed]) {
          expect(log.filter((text) => String(text).startsWith(`${name}:`))).toEqual(sent);
        }
      }),
      { numRuns: 100 },
    );
  },
);
