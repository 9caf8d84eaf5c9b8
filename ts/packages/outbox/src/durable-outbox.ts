import type { Cancel, Env, Kept, OutboxStore } from "@holdfast/client";
import { Database, indexedDatabases } from "./database.ts";
import { Living, webLocks } from "./living.ts";

export interface DurableOutboxOptions {
  /**
   * Whose messages they are: name the user, and the server if there are several. What one scope holds another never sends.
   * Default: one scope for all pages of the origin, which is right for one server and one user per browser.
   */
  readonly scope?: string;
  /** For tests and for places that are no browser; null is none. Default: the browser's. */
  readonly indexedDB?: IDBFactory | null;
  readonly locks?: LockManager | null;
}

/** A message as it lies in the database. */
interface Row {
  readonly id: string;
  /** Grows from message to message of a tab. */
  readonly n: number;
  /** The tab that sent it, and the tab that answers for it now. */
  readonly from: string;
  readonly by: string;
  /** Until when that tab counts as living where there are no locks, in Unix milliseconds. */
  readonly until: number;
  readonly kept: Kept;
}

/** How long the database may take to open before messages go without it, in ms. */
const OPENING = 2_000;
/** How often to look for what closed tabs have left, in ms; and how long a tab counts as living without locks. */
const ROUND = 15_000;
const LIFE = 150_000;
/** How long a tab has to be gone before its messages are another's, in ms; and how often that is looked at meanwhile. */
const RELOAD = 3_000;
const LOOKS = 6;

/** With so many, those that have arrived are taken out of the tab's storage together, after so many ms. */
const MANY = 50;
const PAUSE = 250;

const STORE = "messages";

/**
 * Keeps unsent messages over reloads, closed tabs and restarts of the browser, in IndexedDB; where that fails, as long as
 * the tab or the page, see `client.keeps`. Give it as the option `outbox` of a client.
 */
export function durableOutbox(options: DurableOutboxOptions = {}): (env: Env) => OutboxStore {
  return (env) => new DurableOutbox(env, options);
}

/**
 * Order and safety rest on two things, and on no lock: a page sends what its tab has left before it sends anything of its
 * own, and the server writes an id once. So it does no harm if two tabs send the same messages for a while: each sends them
 * in their order, hence whichever comes first, the log has them in that order. Locks only tell which tabs are closed, so
 * that what they left finds one other tab.
 */
class DurableOutbox implements OutboxStore {
  readonly #env: Env;
  readonly #name: string;
  readonly #db: Database;
  readonly #living: Living | undefined;

  /** What this page answers for. */
  readonly #rows = new Map<string, Row>();
  /** The tab's name, and that under which this page sends: a new one until it is certain that it is no copy of the tab. */
  #tab = "";
  #own: string;
  #n = 0;
  /** Whether the database has taken what it was given last; and whether it was given all that this page has. */
  #safe = false;
  #whole = false;

  #adopt: (kept: readonly Kept[]) => void = () => {};
  #begun = false;
  #closed = false;
  /** What an earlier page of this tab has left in the tab's storage, until it is handed over. */
  #left: readonly Row[] = [];
  #timer: Cancel | undefined;
  #spilling: Cancel | undefined;

  constructor(env: Env, { scope = "", indexedDB = indexedDatabases(), locks = webLocks() }: DurableOutboxOptions) {
    this.#env = env;
    this.#name = `holdfast:outbox:${scope}`;
    this.#own = `${env.random()}`;
    this.#db = new Database(indexedDB, this.#name, STORE);
    this.#living = locks ? new Living(locks, `${this.#name}:`) : undefined;
  }

  get lasts(): OutboxStore["lasts"] {
    return this.#safe ? "browser" : (this.#env.storage.lasts ?? "tab");
  }

  load(adopt: (kept: readonly Kept[]) => void): void {
    this.#adopt = adopt;
    const { storage } = this.#env;
    this.#tab = storage.get(`${this.#name}:tab`) ?? this.#own;
    storage.set(`${this.#name}:tab`, this.#tab);
    if (!this.#living) this.#own = this.#tab;
    this.#left = parse(storage.get(`${this.#name}:rest`));
    if (this.#db.exists) void this.#start();
    else this.#hand([]);
  }

  put(kept: Kept): void {
    const { id } = kept;
    this.#rows.set(id, this.#mine({ n: this.#next(), from: this.#own, ...this.#rows.get(id), id, kept }));
    this.#spill();
    this.#write(id);
  }

  remove(id: string): void {
    this.#rows.delete(id);
    if (this.#rows.size < MANY) this.#spill();
    // To write what is left of many after each one would take the longer the more there are.
    else this.#spilling ??= this.#env.timer(() => this.#spill(), PAUSE);
    this.#write(id);
  }

  /** Lets go: what is unsent is for the next page, or for another tab. */
  close(): void {
    this.#closed = true;
    this.#timer?.();
    this.#spilling?.();
    this.#living?.close();
  }

  async #start(): Promise<void> {
    // Messages wait for those before them, but not for a database that does not open.
    this.#timer = this.#env.timer(() => this.#hand([]), OPENING);
    const open = await this.#db.open();
    this.#timer();
    const tab = this.#tab;
    this.#hand(open ? await this.#take(({ from, by }) => from === tab || by === tab) : []);
    this.#writeAll();
    if (this.#living) await this.#settle(this.#living);
    await this.#round();
  }

  async #settle(living: Living): Promise<void> {
    const before = this.#own;
    if (await living.claim(this.#tab, this.#env)) this.#own = this.#tab;
    else {
      // This tab is a copy of one that lives.
      this.#tab = before;
      this.#env.storage.set(`${this.#name}:tab`, before);
      void living.claim(before, this.#env);
    }
    for (const row of this.#rows.values()) {
      if (row.from === before) this.#rows.set(row.id, { ...row, from: this.#own });
    }
    this.#writeAll();
  }

  /** Looks after what closed tabs have left, and after what could not be written. */
  async #round(): Promise<void> {
    if (this.#closed) return;
    if (!this.#safe || !this.#living) {
      await this.#db.open();
      this.#writeAll();
    }
    if (this.#living) await this.#takeFromDead(this.#living);
    else this.#hand(await this.#take(({ until }) => until < this.#env.now()));
    if (!this.#closed) this.#timer = this.#env.timer(() => void this.#round(), ROUND);
  }

  async #takeFromDead(living: Living): Promise<void> {
    const tabs = new Set<string>();
    // Also what a page had that went by the same name: this one may be its copy, and have the name since that one ended.
    const mine = await this.#take(({ by }) => {
      tabs.add(by);
      return by === this.#tab;
    });
    this.#hand(mine);
    let dead = await living.dead(tabs);
    // One that is being reloaded looks the same for a moment. It has its messages in its own order, and this page may not
    // have all of them: some were written when it was left, or are about to be.
    for (let looks = 0; dead.length && looks < LOOKS; looks++) {
      await new Promise<void>((resolve) => (this.#timer = this.#env.timer(resolve, RELOAD / LOOKS)));
      dead = await living.dead(dead);
    }
    for (const tab of dead) {
      await living.ifDead(tab, async () => this.#closed || this.#hand(await this.#take(({ by }) => by === tab)));
    }
  }

  /** Takes on rows that this page does not have, in one transaction: of two tabs that would, one does. */
  #take(which: (row: Row) => boolean): Promise<readonly Row[]> {
    const taken: Row[] = [];
    return new Promise((resolve) => {
      const transaction = this.#db.begin("readwrite");
      if (!transaction) return resolve(taken);
      // Also if it cannot be written that they are ours: to send them all the same does no harm.
      transaction.oncomplete = transaction.onabort = () => resolve(taken);
      const store = transaction.objectStore(STORE);
      const all: IDBRequest<Row[]> = store.getAll();
      all.onsuccess = () => {
        const rows = all.result.filter(({ id }) => !this.#rows.has(id));
        // All of a tab or nothing: two pages with a part each would not keep the order between them.
        const tabs = new Set(rows.filter(which).map(({ from }) => from));
        for (const row of rows) {
          if (!tabs.has(row.from)) continue;
          taken.push(row);
          store.put(this.#mine(row));
        }
      };
    });
  }

  /** Gives rows to the client. What this page was sent before the first of them comes after them. */
  #hand(rows: readonly Row[]): void {
    if (this.#closed) return;
    const early = this.#begun ? [] : [...this.#rows.values()];
    const more = [...rows, ...this.#left].filter(({ id }) => !this.#rows.has(id)).sort((a, b) => a.n - b.n);
    this.#left = [];
    for (const row of more) {
      this.#rows.set(row.id, row);
      this.#n = Math.max(this.#n, row.n);
    }
    for (const row of early) this.#rows.set(row.id, { ...row, n: this.#next() });
    if (more.length || !this.#begun) this.#adopt([...new Map(more.map(({ id, kept }) => [id, kept])).values()]);
    this.#begun = true;
  }

  #writeAll(): void {
    for (const row of this.#rows.values()) this.#rows.set(row.id, this.#mine(row));
    this.#spill();
    this.#whole = true;
    this.#write(...this.#rows.keys());
  }

  /**
   * Brings the database to what this page knows of these messages. It begins in this very call, and needs no other. A later
   * message is not written while earlier ones are missing there: a tab that took them over would send it before those. What is
   * gone goes there, whatever is missing, or it would come back.
   */
  #write(...ids: readonly string[]): void {
    const may = this.#whole || !ids.some((id) => this.#rows.has(id));
    const transaction = may ? this.#db.begin("readwrite") : undefined;
    if (!transaction) return void (this.#safe = this.#whole = false);
    for (const id of ids) {
      const row = this.#rows.get(id);
      const store = transaction.objectStore(STORE);
      if (row) store.put(row);
      else store.delete(id);
    }
    transaction.onabort = () => (this.#safe = this.#whole = false);
    transaction.oncomplete = () => (this.#safe = this.#whole);
    // Else the transaction would stay open for what this page does next, and it may be killed before.
    transaction.commit?.();
  }

  /**
   * All of it lies in the tab's storage too: a page that is left takes along what waits for another tab's transaction,
   * though it was committed, and the next page must not wait for a database that is slow to open.
   */
  #spill(): void {
    this.#spilling?.();
    this.#spilling = undefined;
    const rows = [...this.#left, ...this.#rows.values()];
    this.#env.storage.set(`${this.#name}:rest`, rows.length ? JSON.stringify(rows) : null);
  }

  #mine(row: Pick<Row, "id" | "n" | "from" | "kept">): Row {
    return { ...row, by: this.#tab, until: this.#env.now() + LIFE };
  }

  #next(): number {
    this.#n = Math.max(this.#n + 1, this.#env.now());
    return this.#n;
  }
}

function parse(text: string | null): readonly Row[] {
  try {
    return JSON.parse(text ?? "[]") as readonly Row[];
  } catch {
    return [];
  }
}
