import type { Cached, Entry } from "@holdfast/client";
import { IDBFactory, IDBObjectStore } from "fake-indexeddb";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type SessionCacheOptions, sessionCache } from "../src/index.ts";

const message = (offset: number, text = "hello"): Entry => ({
  kind: "message",
  offset,
  id: `m${offset}`,
  user: "anna",
  client: "c",
  at: 1,
  data: { text },
});

const cached = (entries: readonly Entry[], change: Partial<Cached> = {}): Cached => {
  const have = entries.at(-1)?.offset ?? 0;
  const isOpen = (e: Entry) => e.kind === "state" || (e.kind === "run" && e.status === "open");
  const open = entries.filter(isOpen).map(({ offset }) => offset);
  return { at: 5, epoch: "e", have, tag: 7, first: entries[0]?.offset ?? 1, more: false, entries, open, ...change };
};

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => message(from + i));

let indexedDB: IDBFactory;
beforeEach(() => {
  indexedDB = new IDBFactory();
  vi.useFakeTimers({ toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const open = (options: SessionCacheOptions = {}) => sessionCache({ indexedDB, ...options });
const offsets = (found: Cached | undefined) => found?.entries.map(({ offset }) => offset);

/** Changes what lies in the database behind the cache's back. */
async function tamper(id: string, change: object): Promise<void> {
  const db = await new Promise<IDBDatabase>((resolve) => {
    const request = indexedDB.open("holdfast:cache:", 1);
    request.onsuccess = () => resolve(request.result);
  });
  const transaction = db.transaction("bodies", "readwrite");
  const store = transaction.objectStore("bodies");
  const found: IDBRequest<object> = store.get(id);
  found.onsuccess = () => store.put({ ...found.result, ...change });
  await new Promise((resolve) => {
    transaction.oncomplete = resolve;
  });
  db.close();
}

describe("what is kept", () => {
  it("is there for the next page as it was", async () => {
    const kept = cached(range(3, 9), { more: true });
    open().save("chat", kept);
    expect(await open().load("chat")).toEqual(kept);
    expect(await open().load("other")).toBeUndefined();
  });

  it("is written within the call once the database is open, since the page may be going", async () => {
    const cache = open();
    await cache.load("chat");
    const put = vi.spyOn(IDBObjectStore.prototype, "put");
    cache.save("chat", cached(range(1, 2)));
    const [used] = put.mock.contexts as IDBObjectStore[];
    put.mockRestore();
    expect(used).toBeDefined();
    // A transaction that was committed takes nothing more, and waits for nothing of this page.
    expect(() => used?.put({ id: "late" })).toThrow();
    expect(await open().load("chat")).toBeDefined();
  });

  it("is the latest part, with open runs and states from before, and says that there is more", async () => {
    const run = { ...message(2), kind: "run", status: "open", text: "", parts: {}, body: [], end: undefined } as const;
    const state: Entry = { ...message(3), kind: "state", key: "title" };
    const ended = { ...run, offset: 4, status: "complete", fragments: 1, chain: 1 } as const;
    const entries = [message(1), { ...run, fragments: 1, chain: 1 }, state, ended, ...range(5, 12)];
    const cache = open({ entries: 5 });
    cache.save("chat", cached(entries));
    const found = await cache.load("chat");
    expect(offsets(found)).toEqual([2, 3, 8, 9, 10, 11, 12]);
    expect(found).toMatchObject({ first: 8, more: true, have: 12 });
  });

  it("keeps what the client says is open, such as a request from long ago", async () => {
    const cache = open({ entries: 2 });
    cache.save("chat", cached(range(1, 6), { open: [2] }));
    expect(offsets(await cache.load("chat"))).toEqual([2, 5, 6]);
  });

  it("is less of what is large, and nothing where even the last entry is", async () => {
    const cache = open({ size: 2_000 });
    cache.save("chat", cached(range(1, 9).map(({ offset }) => message(offset, "x".repeat(400)))));
    expect(offsets(await cache.load("chat"))).toEqual([7, 8, 9]);
    cache.save("chat", cached([message(10, "x".repeat(3_000))]));
    expect(await cache.load("chat")).toBeUndefined();
  });

  it("is of the sessions that were used last, when it is too much", async () => {
    const cache = open({ total: 3_000 });
    for (const id of ["a", "b", "c"]) {
      vi.setSystemTime(Date.now() + 1_000);
      cache.save(id, cached([message(1, "x".repeat(700))]));
      await cache.load(id);
    }
    vi.setSystemTime(Date.now() + 1_000);
    await cache.load("a");
    vi.setSystemTime(Date.now() + 1_000);
    cache.save("d", cached([message(1, "x".repeat(700))]));
    const found = await Promise.all(["a", "b", "c", "d"].map((id) => open().load(id)));
    expect(found.map((it) => it !== undefined)).toEqual([true, false, true, true]);
  });

  it("is nobody else's", async () => {
    open({ scope: "anna" }).save("chat", cached(range(1, 2)));
    expect(await open({ scope: "bob" }).load("chat")).toBeUndefined();
    expect(await open({ scope: "anna" }).load("chat")).toBeDefined();
  });
});

describe("what cannot be used is not there", () => {
  it.each([
    ["no JSON", { text: "{" }],
    ["of another shape", { text: '{"entries":7}' }],
    ["null", { text: "null" }],
    ["of another schema", { schema: 99 }],
  ])("%s", async (_, change) => {
    open().save("chat", cached(range(1, 2)));
    expect(await open().load("chat")).toBeDefined();
    await tamper("chat", change);
    expect(await open().load("chat")).toBeUndefined();
  });

  it("nor is anything without a database", async () => {
    for (const broken of [
      null,
      {
        open: () => {
          throw new Error("no");
        },
      } as unknown as IDBFactory,
    ]) {
      const cache = open({ indexedDB: broken });
      cache.save("chat", cached(range(1, 2)));
      expect(await cache.load("chat")).toBeUndefined();
      await cache.clear();
    }
  });
});

describe("clear", () => {
  it("forgets all, for this tab and the others, for good", async () => {
    const [here, there] = [open(), open()];
    here.save("chat", cached(range(1, 2)));
    expect(await there.load("chat")).toBeDefined();
    await here.clear();
    here.save("chat", cached(range(1, 2)));
    // The other tab is told, and what it would save then is not wanted any more.
    await vi.waitFor(async () => expect(await indexedDB.databases()).toEqual([]));
    there.save("chat", cached(range(1, 2)));
    expect(await there.load("chat")).toBeUndefined();
    expect(await open().load("chat")).toBeUndefined();
  });

  it("is followed by another user's", async () => {
    await open().clear();
    open().save("chat", cached(range(1, 2)));
    expect(await open().load("chat")).toBeDefined();
  });
});
