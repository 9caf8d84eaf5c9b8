/** Handed to the system and not forced onto the disk: see the README, "What survives what". */
const RELAXED = { durability: "relaxed" } as const;

/** Where IndexedDB is: even to look may throw, where cookies are blocked. */
export function indexedDatabases(): IDBFactory | undefined {
  try {
    return globalThis.indexedDB;
  } catch {
    return undefined;
  }
}

/** One IndexedDB database of things that have an id, which is opened when it is needed, also after the browser has closed it. */
export class Database {
  readonly #factory: IDBFactory | null | undefined;
  readonly #name: string;
  readonly #stores: readonly string[];
  #db: IDBDatabase | undefined;
  #opening: Promise<boolean> | undefined;
  #left = false;

  constructor(factory: IDBFactory | null | undefined, name: string, ...stores: readonly string[]) {
    this.#factory = factory;
    this.#name = name;
    this.#stores = stores;
  }

  /** Whether there can be one. */
  get exists(): boolean {
    return !!this.#factory;
  }

  /** Resolves with whether it is open. It may take for ever: another tab's older version may block it, or a fault. */
  open(): Promise<boolean> {
    this.#opening ??= new Promise<boolean>((resolve) => {
      const request = this.#left ? undefined : this.#factory?.open(this.#name, 1);
      if (!request) return resolve(false);
      request.onupgradeneeded = () => this.#create(request.result);
      request.onerror = () => resolve(false);
      request.onsuccess = () => {
        this.#opened(request.result);
        resolve(true);
      };
    }).catch(() => false);
    // Another day it may open: a private window's may not, but a full disk's, or one that another version held.
    void this.#opening.then((open) => {
      if (!open) this.#opening = undefined;
    });
    return this.#opening;
  }

  /** Begins a transaction in this very call; undefined if the database is not open. */
  begin(mode: IDBTransactionMode): IDBTransaction | undefined {
    try {
      return this.#db?.transaction([...this.#stores], mode, RELAXED);
    } catch {
      // The connection was lost without a word, as on iOS behind another app.
      this.#close();
      return undefined;
    }
  }

  /** Closes it for good. */
  leave(): void {
    this.#left = true;
    this.#close();
  }

  /** Deletes it. Other tabs leave it then. */
  delete(): void {
    this.leave();
    try {
      this.#factory?.deleteDatabase(this.#name);
    } catch {
      // It could not be opened either: there is nothing in it.
    }
  }

  #close(): void {
    this.#db?.close();
    this.#db = this.#opening = undefined;
  }

  #create(db: IDBDatabase): void {
    for (const name of this.#stores) db.createObjectStore(name, { keyPath: "id" });
  }

  #opened(db: IDBDatabase): void {
    this.#db = db;
    // Another tab is to delete the database, or has a later version of this library: be out of its way, and stay there.
    db.onversionchange = () => this.leave();
    db.onclose = () => this.#close();
  }
}
