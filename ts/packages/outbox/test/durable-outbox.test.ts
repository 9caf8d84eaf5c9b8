import type { Kept, OutboxStore } from "@holdfast/client";
import { IDBObjectStore } from "fake-indexeddb";
import { describe, expect, it, vi } from "vitest";
import { type DurableOutboxOptions, durableOutbox } from "../src/index.ts";
import { FakeBrowser, type Page } from "./browser.ts";

const kept = (id: string): Kept => ({ s: "chat", id, d: { text: id }, a: 1 });

async function opened(page: Page, browser: FakeBrowser, options: DurableOutboxOptions = {}): Promise<OutboxStore> {
  const store = page.open(options);
  await browser.rest();
  return store;
}

describe("one tab", () => {
  it("finds after a reload what is unsent, in order, and not what was removed", async () => {
    const browser = new FakeBrowser();
    const page = browser.page();
    const store = await opened(page, browser);
    expect(store.lasts).toBe("browser");
    expect(page.adopted).toEqual([]);
    for (const id of ["c", "a", "b"]) store.put(kept(id));
    store.remove("a");
    await browser.rest();
    const next = page.reload();
    await opened(next, browser);
    expect(next.adopted).toEqual(["c", "b"]);
  });

  it("finds all that was given to it, and the error of what was refused, in its place", async () => {
    const browser = new FakeBrowser();
    const page = browser.page();
    const store = await opened(page, browser);
    store.put(kept("a"));
    store.put(kept("b"));
    store.put({ ...kept("a"), e: ["forbidden", "no"] });
    const found: Kept[] = [];
    page.reload().open({}, (more) => found.push(...more));
    await browser.rest();
    expect(found).toEqual([{ ...kept("a"), e: ["forbidden", "no"] }, kept("b")]);
  });

  it("puts what is removed and put again after all others", async () => {
    const browser = new FakeBrowser();
    const page = browser.page();
    const store = await opened(page, browser);
    store.put(kept("a"));
    store.put(kept("b"));
    store.remove("a");
    store.put(kept("a"));
    const next = page.reload();
    await opened(next, browser);
    expect(next.adopted).toEqual(["b", "a"]);
  });

  it("has begun and committed the write when put returns, so that the page may be killed then", async () => {
    const browser = new FakeBrowser();
    const page = browser.page();
    const store = await opened(page, browser);
    const put = vi.spyOn(IDBObjectStore.prototype, "put");
    store.put(kept("a"));
    const [used] = put.mock.contexts as IDBObjectStore[];
    put.mockRestore();
    expect(used).toBeDefined();
    // A transaction that was committed takes nothing more, and waits for nothing of this page.
    expect(() => used?.put({ id: "late" })).toThrow();
    const next = page.reload();
    await opened(next, browser);
    expect(next.adopted).toEqual(["a"]);
  });

  it("loses nothing that waits for another tab's transaction when the page is left", async () => {
    const browser = new FakeBrowser();
    const page = browser.page();
    const store = await opened(page, browser);
    store.put(kept("a"));
    await browser.rest();
    browser.busy = true;
    for (const id of ["b", "c"]) store.put(kept(id));
    store.remove("b");
    const next = page.reload();
    browser.busy = false;
    const again = await opened(next, browser);
    expect(next.adopted).toEqual(["a", "c"]);
    expect(again.lasts).toBe("browser");
  });

  it("takes many that arrive out of the tab's storage together", async () => {
    const browser = new FakeBrowser();
    const page = browser.page();
    const store = await opened(page, browser);
    const ids = Array.from({ length: 120 }, (_, i) => `m${i}`);
    for (const id of ids) store.put(kept(id));
    const set = vi.spyOn(page.env.storage, "set");
    for (const id of ids.slice(0, 60)) store.remove(id);
    expect(set).not.toHaveBeenCalled();
    await browser.advance(500);
    expect(set).toHaveBeenCalledOnce();
    expect(page.storage.get("holdfast:outbox::rest")).not.toContain('"m59"');
    for (const id of ids.slice(60)) store.remove(id);
    expect(page.storage.has("holdfast:outbox::rest")).toBe(false);
    store.close?.();
    expect(page.env.timers).toBe(0);
  });

  it("keeps the order though the database opens late", async () => {
    const browser = new FakeBrowser();
    const first = browser.page();
    (await opened(first, browser)).put(kept("a"));
    await browser.rest();
    const second = first.reload();
    const { indexedDB, open } = blocked(browser.indexedDB);
    const store = second.open({ indexedDB });
    store.put(kept("b"));
    await browser.advance(2_500);
    expect(second.adopted).toEqual(["a"]);
    open();
    await browser.rest();
    const third = second.reload();
    await opened(third, browser);
    expect(third.adopted).toEqual(["a", "b"]);
  });

  it("loses nothing that is sent before the database is open, and sends what was there before it", async () => {
    const browser = new FakeBrowser();
    const first = browser.page();
    (await opened(first, browser)).put(kept("a"));
    const second = first.reload();
    second.open().put(kept("b"));
    const third = second.reload();
    await opened(third, browser);
    expect(third.adopted).toEqual(["a", "b"]);
  });

  it("keeps the order over reloads though the clock is set back", async () => {
    const browser = new FakeBrowser();
    const first = browser.page();
    (await opened(first, browser)).put(kept("a"));
    const second = first.reload();
    second.env.clock -= 3_600_000;
    const store = second.open();
    store.put(kept("b"));
    await browser.rest();
    store.put(kept("c"));
    await browser.rest();
    const third = second.reload();
    await opened(third, browser);
    expect(third.adopted).toEqual(["a", "b", "c"]);
  });
});

describe("two tabs", () => {
  it.each([{}, { locks: null }])("leave each other's messages alone while both live, with %j", async (options) => {
    const browser = new FakeBrowser();
    const [one, two] = [browser.page(), browser.page()];
    (await opened(one, browser, options)).put(kept("a"));
    (await opened(two, browser, options)).put(kept("b"));
    await browser.advance(400_000);
    expect([...one.adopted, ...two.adopted]).toEqual([]);
  });

  it("of those of one that is closed all go to one that lives, and to one alone", async () => {
    const browser = new FakeBrowser();
    const [one, two, three] = [browser.page(), browser.page(), browser.page()];
    await Promise.all([two, three].map((page) => opened(page, browser)));
    const store = await opened(one, browser);
    for (const id of ["a", "b", "c"]) store.put(kept(id));
    one.kill();
    await browser.advance(40_000);
    expect([two.adopted, three.adopted].sort()).toEqual([[], ["a", "b", "c"]]);
  });

  it("without locks too, once the claim of the closed one has run out", async () => {
    const browser = new FakeBrowser();
    const [one, two, three] = [browser.page(), browser.page(), browser.page()];
    await Promise.all([two, three].map((page) => opened(page, browser, { locks: null })));
    (await opened(one, browser, { locks: null })).put(kept("a"));
    one.kill();
    await browser.advance(140_000);
    expect([...two.adopted, ...three.adopted]).toEqual([]);
    await browser.advance(30_000);
    expect([...two.adopted, ...three.adopted]).toEqual(["a"]);
  });

  it("one that comes back finds its messages though another one has taken them on", async () => {
    const browser = new FakeBrowser();
    const [one, two] = [browser.page(), browser.page()];
    await opened(two, browser);
    (await opened(one, browser)).put(kept("a"));
    one.kill();
    await browser.advance(20_000);
    expect(two.adopted).toEqual(["a"]);
    const restored = browser.page(one.storage);
    const store = await opened(restored, browser);
    expect(restored.adopted).toEqual(["a"]);
    store.put(kept("b"));
    await browser.rest();
    const again = restored.reload();
    await opened(again, browser);
    expect(again.adopted).toEqual(["a", "b"]);
  });

  it("a copied one takes a name of its own, and its messages outlive it", async () => {
    const browser = new FakeBrowser();
    const original = browser.page();
    await opened(original, browser);
    const copy = browser.page(new Map(original.storage));
    const store = await opened(copy, browser);
    store.put(kept("before it knows"));
    await browser.advance(1_000);
    expect(copy.storage.get("holdfast:outbox::tab")).not.toBe(original.storage.get("holdfast:outbox::tab"));
    store.put(kept("after"));
    await browser.rest();
    copy.kill();
    await browser.advance(20_000);
    expect(original.adopted).toEqual(["before it knows", "after"]);
  });

  it("after a restart of the browser a new one has all", async () => {
    const browser = new FakeBrowser();
    const [one, two] = [browser.page(), browser.page()];
    (await opened(one, browser)).put(kept("a"));
    (await opened(two, browser)).put(kept("b"));
    await browser.rest();
    one.kill();
    two.kill();
    const fresh = browser.page();
    await opened(fresh, browser);
    await browser.advance(4_000);
    expect(fresh.adopted.sort()).toEqual(["a", "b"]);
  });

  it("of which one is reloaded leave it what it has: only it knows all of that, and its order", async () => {
    const browser = new FakeBrowser();
    const [one, two] = [browser.page(), browser.page()];
    (await opened(one, browser)).put(kept("a"));
    await opened(two, browser);
    // When the other one looks, the page is gone, and the next is not there yet.
    await browser.advance(14_500);
    const next = one.reload();
    await browser.advance(1_500);
    await opened(next, browser);
    await browser.advance(40_000);
    expect([next.adopted, two.adopted]).toEqual([["a"], []]);
  });

  it("of which one is reloaded twice, each time when the other one looks, leave it what it has", async () => {
    const browser = new FakeBrowser();
    const [one, two] = [browser.page(), browser.page()];
    (await opened(one, browser)).put(kept("a"));
    await opened(two, browser);
    await browser.advance(14_500);
    const next = one.reload();
    await browser.advance(1_000);
    await opened(next, browser);
    await browser.advance(1_500);
    const last = next.reload();
    await browser.advance(1_500);
    await opened(last, browser);
    await browser.advance(8_000);
    expect([last.adopted, two.adopted]).toEqual([["a"], []]);
  });

  it("of which one is closed while it is loaded: what the other one takes on begins with the first, and leaves none out", async () => {
    const taken = new Set<number>();
    for (let turns = 0; turns < 40; turns++) {
      const browser = new FakeBrowser();
      const page = browser.page();
      const before = await opened(page, browser);
      before.put(kept("a"));
      await browser.rest();
      // These wait for another tab's transaction when the page is left: they are in the tab's storage alone.
      browser.busy = true;
      for (const id of ["b", "c"]) before.put(kept(id));
      const next = page.reload();
      browser.busy = false;
      const store = next.open();
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      for (let turn = 0; turn < turns / 8; turn++) await new Promise((resolve) => setImmediate(resolve));
      store.put(kept("d"));
      next.kill();
      const heir = browser.page();
      await opened(heir, browser);
      await browser.advance(25_000);
      expect(heir.adopted).toEqual(["a", "b", "c", "d"].slice(0, heir.adopted.length));
      taken.add(heir.adopted.length);
    }
    expect([...taken].sort()).toEqual([1, 4]);
  });

  it("of two users see nothing of each other", async () => {
    const browser = new FakeBrowser();
    const [anna, bob] = [browser.page(), browser.page()];
    (await opened(anna, browser, { scope: "anna" })).put(kept("a"));
    anna.kill();
    await opened(bob, browser, { scope: "bob" });
    await browser.advance(60_000);
    expect(bob.adopted).toEqual([]);
  });

  it("a closed client leaves its messages to another tab, and takes none any more", async () => {
    const browser = new FakeBrowser();
    const [one, two, three] = [browser.page(), browser.page(), browser.page()];
    const closed = await opened(one, browser);
    closed.put(kept("a"));
    closed.close?.();
    await opened(two, browser);
    await browser.advance(4_000);
    expect(two.adopted).toEqual(["a"]);
    (await opened(three, browser)).put(kept("b"));
    await browser.rest();
    three.kill();
    await browser.advance(20_000);
    expect(one.adopted).toEqual([]);
    expect(two.adopted).toEqual(["a", "b"]);
    expect(one.env.timers).toBe(0);
  });
});

describe("where the database fails", () => {
  it("in the middle: what was discarded since does not come back, and what is missing there is written again", async () => {
    const browser = new FakeBrowser();
    const page = browser.page();
    const store = await opened(page, browser);
    store.put(kept("a"));
    await browser.rest();
    browser.busy = true;
    const put = vi.spyOn(IDBObjectStore.prototype, "put");
    store.put(kept("b"));
    const [used] = put.mock.contexts as IDBObjectStore[];
    put.mockRestore();
    browser.busy = false;
    used?.transaction.abort();
    store.put(kept("c"));
    store.remove("a");
    await browser.rest();
    expect(store.lasts).toBe("tab");
    await browser.advance(20_000);
    expect([store.lasts, page.adopted]).toEqual(["browser", []]);
    const heir = browser.page();
    page.kill();
    await opened(heir, browser);
    await browser.advance(25_000);
    expect(heir.adopted).toEqual(["b", "c"]);
  });

  it.each([
    ["there is none", null],
    ["to open it throws", { open: throwing } as unknown as IDBFactory],
    ["it refuses, as in a private window", { open: refusing } as unknown as IDBFactory],
  ])("messages last as long as the tab: %s", async (_, indexedDB) => {
    const browser = new FakeBrowser();
    const page = browser.page();
    const store = await opened(page, browser, { indexedDB });
    expect(store.lasts).toBe("tab");
    for (const id of ["a", "b", "c"]) store.put(kept(id));
    store.remove("b");
    const next = page.reload();
    await opened(next, browser, { indexedDB });
    expect(next.adopted).toEqual(["a", "c"]);
  });

  it("and as long as the page where there is no storage at all", () => {
    const { env } = new FakeBrowser().page();
    const storage = { lasts: "page", get: () => null, set: () => {} } as const;
    const store = durableOutbox({ indexedDB: null })(Object.assign(env, { storage }));
    expect(store.lasts).toBe("page");
  });

  it("on a server nothing is begun", () => {
    const { env } = new FakeBrowser().page();
    const begun = vi.fn();
    durableOutbox({ indexedDB: null, locks: null })(env).load(begun);
    expect(begun).toHaveBeenCalledExactlyOnceWith([]);
    expect(env.timers).toBe(0);
  });

  it("messages go without one that does not open, and are written once it does", async () => {
    const browser = new FakeBrowser();
    const page = browser.page();
    const { indexedDB, open } = blocked(browser.indexedDB);
    const begun = vi.fn();
    const store = page.open({ indexedDB }, begun);
    store.put(kept("a"));
    await browser.advance(1_800);
    expect(begun).not.toHaveBeenCalled();
    await browser.advance(400);
    expect(begun).toHaveBeenCalledExactlyOnceWith([]);
    expect(store.lasts).toBe("tab");
    open();
    await browser.rest();
    expect(store.lasts).toBe("browser");
    page.kill();
    const other = browser.page();
    await opened(other, browser);
    await browser.advance(4_000);
    expect(other.adopted).toEqual(["a"]);
  });

  it("a full disk is said, and what could not be written lasts with the tab until it can", async () => {
    const browser = new FakeBrowser();
    const page = browser.page();
    const store = await opened(page, browser);
    store.put(kept("a"));
    await browser.rest();
    const full = vi.spyOn(IDBObjectStore.prototype, "put").mockImplementation(function (this: IDBObjectStore) {
      return this.add({ id: "a" });
    });
    store.put(kept("b"));
    await browser.rest();
    expect(store.lasts).toBe("tab");
    const next = page.reload();
    const again = await opened(next, browser);
    expect(next.adopted).toEqual(["a", "b"]);
    expect(again.lasts).toBe("tab");
    full.mockRestore();
    await browser.advance(16_000);
    expect(again.lasts).toBe("browser");
    next.kill();
    const other = browser.page();
    await opened(other, browser);
    await browser.advance(4_000);
    expect(other.adopted).toEqual(["a", "b"]);
  });

  it("a later version in another tab finds it out of the way, and messages last as long as the tab", async () => {
    const browser = new FakeBrowser();
    const page = browser.page();
    const store = await opened(page, browser);
    const upgrade = browser.indexedDB.open("holdfast:outbox:", 2);
    const stopped = vi.fn();
    upgrade.onblocked = stopped;
    await browser.rest();
    expect(stopped).not.toHaveBeenCalled();
    expect(upgrade.readyState).toBe("done");
    store.put(kept("a"));
    expect(store.lasts).toBe("tab");
    await browser.advance(20_000);
    expect(store.lasts).toBe("tab");
    const next = page.reload();
    await opened(next, browser);
    expect(next.adopted).toEqual(["a"]);
  });

  it("a connection that the browser has lost is opened again", async () => {
    const browser = new FakeBrowser();
    const page = browser.page();
    const databases: IDBDatabase[] = [];
    const open = (name: string, version: number) => {
      const request = page.indexedDB.open(name, version);
      request.addEventListener("success", () => databases.push(request.result));
      return request;
    };
    const store = await opened(page, browser, { indexedDB: { open } as IDBFactory });
    databases[0]?.close();
    store.put(kept("a"));
    expect(store.lasts).toBe("tab");
    await browser.advance(16_000);
    expect(store.lasts).toBe("browser");
    expect(databases).toHaveLength(2);
    page.kill();
    const other = browser.page();
    await opened(other, browser);
    await browser.advance(4_000);
    expect(other.adopted).toEqual(["a"]);
  });
});

function throwing(): never {
  throw new DOMException("no", "SecurityError");
}

function refusing(): IDBOpenDBRequest {
  const request = {} as IDBOpenDBRequest;
  queueMicrotask(() => request.onerror?.(new Event("error")));
  return request;
}

/** Databases that open when told to. */
function blocked(factory: IDBFactory): { indexedDB: IDBFactory; open: () => void } {
  let later = () => {};
  const open = (name: string, version: number) => {
    const request = {} as IDBOpenDBRequest;
    later = () => {
      const real = factory.open(name, version);
      Object.defineProperty(request, "result", { get: () => real.result });
      real.onupgradeneeded = (event) => request.onupgradeneeded?.call(real, event);
      real.onsuccess = (event) => request.onsuccess?.call(real, event);
    };
    return request;
  };
  return { indexedDB: { open } as unknown as IDBFactory, open: () => later() };
}
