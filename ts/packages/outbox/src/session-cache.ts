import type { Cached, SessionCache } from "@holdfast/client";
import { Database, indexedDatabases } from "./database.ts";

export interface SessionCacheOptions {
  /** Whose sessions they are: name the user, and the server if there are several, as for the outbox. */
  readonly scope?: string;
  /** How many entries to keep of a session, the latest. Default: 100. */
  readonly entries?: number;
  /** How much to keep of a session, and of all, in UTF-16 units of JSON. Default: 256 Ki and 4 Mi. */
  readonly size?: number;
  readonly total?: number;
  /** For tests and for places that are no browser; null is none. Default: the browser's. */
  readonly indexedDB?: IDBFactory | null;
}

/** A cache that can be emptied. */
export interface ClearableCache extends SessionCache {
  /**
   * Forgets all sessions of the scope, as when the user signs out; resolves when that is done. From then on it keeps nothing
   * more, nor does it in other tabs: make another one for whoever signs in next.
   */
  clear(): Promise<void>;
}

/** What an older or newer version of this library has kept is not for this one: its number is another. */
const SCHEMA = 1;

/** What is kept of a session, and beside it what is needed to choose which sessions to forget. */
interface Body {
  readonly id: string;
  readonly schema: number;
  readonly text: string;
}

interface Head {
  readonly id: string;
  /** When it was last loaded or saved, in Unix milliseconds. */
  readonly at: number;
  readonly size: number;
}

const HEADS = "heads";
const BODIES = "bodies";

/**
 * Keeps the recent part of each session in IndexedDB, so that a page shows it at once after a reload. Give `cached(it)` as
 * the option `cache` of a client. Of sessions the least recently used are forgotten first. Without a database it keeps nothing.
 */
export function sessionCache(options: SessionCacheOptions = {}): ClearableCache {
  const {
    scope = "",
    entries = 100,
    size = 256 * 1024,
    total = 4 * 1024 * 1024,
    indexedDB = indexedDatabases(),
  } = options;
  const db = new Database(indexedDB, `holdfast:cache:${scope}`, HEADS, BODIES);
  return {
    async load(session) {
      const transaction = db.begin("readwrite") ?? ((await db.open()) ? db.begin("readwrite") : undefined);
      if (!transaction) return undefined;
      const body = await read<Body>(transaction.objectStore(BODIES).get(session));
      const cached = body?.schema === SCHEMA ? parse(body.text) : undefined;
      if (body && cached) put(transaction, body);
      return cached;
    },
    save(session, cached) {
      const text = textOf(cached, entries, size);
      const write = () => {
        const transaction = db.begin("readwrite");
        if (!transaction) return false;
        put(transaction, { id: session, schema: SCHEMA, text });
        tidy(db.begin("readwrite"), total);
        return true;
      };
      // At once if it can be, since the page may be about to go.
      if (!write()) void db.open().then(write);
    },
    async clear() {
      if (await db.open()) await emptied(db.begin("readwrite"));
      db.delete();
    },
  };
}

/** Writes a session in this very call, and no other: the page may be about to go. */
function put(transaction: IDBTransaction, body: Body): void {
  transaction.objectStore(BODIES).put(body);
  transaction.objectStore(HEADS).put({ id: body.id, at: Date.now(), size: body.text.length } satisfies Head);
  transaction.commit?.();
}

/** Forgets the sessions that were not used for the longest, until the rest is small enough. */
function tidy(transaction: IDBTransaction | undefined, total: number): void {
  const all: IDBRequest<Head[]> | undefined = transaction?.objectStore(HEADS).getAll();
  if (!transaction || !all) return;
  all.onsuccess = () => {
    let sum = 0;
    for (const { id, size } of all.result.sort((a, b) => b.at - a.at)) {
      sum += size;
      if (sum > total) for (const name of [HEADS, BODIES]) transaction.objectStore(name).delete(id);
    }
  };
}

/** The JSON of as many of the latest entries as fit; "" if not even one does. */
function textOf(cached: Cached, entries: number, size: number): string {
  for (let count = entries; count > 0; count >>= 1) {
    const text = JSON.stringify(latest(cached, count));
    if (text.length <= size) return text;
  }
  return "";
}

/** The latest entries, and of those before them what a reader needs to go on: states, and open runs and requests. */
function latest(cached: Cached, count: number): Cached {
  const { entries, open } = cached;
  const from = entries.at(-count);
  if (!from || from.offset <= cached.first) return cached;
  const kept = entries.filter(({ offset }) => offset >= from.offset || open.includes(offset));
  return { ...cached, first: from.offset, more: true, entries: kept };
}

function parse(text: string): Cached | undefined {
  try {
    const { at, epoch, have, tag, first, entries } = JSON.parse(text) as Partial<Record<keyof Cached, unknown>>;
    const numbers = [at, have, tag, first].every((value) => typeof value === "number");
    return numbers && typeof epoch === "string" && Array.isArray(entries) ? (JSON.parse(text) as Cached) : undefined;
  } catch {
    return undefined;
  }
}

function read<T>(request: IDBRequest<T | undefined>): Promise<T | undefined> {
  return new Promise((resolve) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => resolve(undefined);
  });
}

function emptied(transaction: IDBTransaction | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (!transaction) return resolve();
    for (const name of [HEADS, BODIES]) transaction.objectStore(name).clear();
    transaction.oncomplete = transaction.onabort = () => resolve();
  });
}
