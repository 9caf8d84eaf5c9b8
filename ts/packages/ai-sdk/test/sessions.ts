import {
  type Ack,
  type Client,
  type Command,
  type Entry,
  HoldfastError,
  type RunEntry,
  type Sending,
  type Session,
  type StateEntry,
} from "@holdfast/client";
import type { UIMessageChunk } from "ai";
import { type Fragment, UIEncoder } from "../../producer/src/index.ts";

/** A session without a server: what a test writes into it is there at once. It holds what the transport looks at. */
export class FakeSession {
  entries: Entry[] = [];
  outbox: Sending[] = [];
  readonly commands: Command[] = [];
  status: Session["status"] = "live";
  error: HoldfastError | undefined;
  /** Whether what is sent is acknowledged at once, and whether it then waits for its turn. */
  online = true;
  busy = false;
  states: ReadonlyMap<string, StateEntry> = new Map();
  readonly id: string;
  readonly #listeners = new Set<() => void>();
  #told = false;

  constructor(id: string) {
    this.id = id;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  changed(): void {
    if (this.#told) return;
    this.#told = true;
    queueMicrotask(() => {
      this.#told = false;
      for (const listener of [...this.#listeners]) listener();
    });
  }

  send(data: unknown): Sending {
    let resolve: (ack: { offset: number; at: number }) => void = () => {};
    const done = new Promise<{ offset: number; at: number }>((r) => (resolve = r));
    const sending = {
      id: `m${Math.random()}`,
      data: JSON.parse(JSON.stringify(data)),
      done,
      resolve,
    } as unknown as Sending;
    this.outbox = [...this.outbox, sending];
    this.changed();
    if (this.online) queueMicrotask(() => this.deliver());
    return sending;
  }

  get snapshot(): Pick<Session["snapshot"], "entries" | "states"> {
    return this;
  }

  async command(command: Command): Promise<Ack> {
    this.commands.push(command);
    return { offset: 1, at: 0, state: "requested" };
  }

  /** What is on its way arrives. */
  deliver(): void {
    const sendings = this.outbox as (Sending & { resolve(ack: object): void })[];
    this.outbox = [];
    for (const s of sendings) {
      if (this.busy) this.queue({ id: s.id, data: s.data });
      s.resolve(this.busy ? { offset: 1, at: 0, state: "queued" } : { offset: this.write(s.data, s.id), at: 0 });
    }
  }

  /** This waits for its turn now, and nothing else. */
  queue(...held: readonly { readonly id: string; readonly data: unknown }[]): void {
    const queue = held.map((it) => ({ ...it, u: "u", at: 0 }));
    const base = { offset: 1, id: "", user: "", client: "", at: 0 };
    const state: StateEntry = { ...base, kind: "state", key: "holdfast:turns", data: { policy: "queue", queue } };
    this.states = new Map([[state.key, state]]);
    this.changed();
  }

  write(data: unknown, id = ""): number {
    const offset = this.entries.length + 1;
    const entry: Entry = { kind: "message", offset, id, user: "u", client: "c", at: 0, data };
    this.entries = [...this.entries, entry];
    this.changed();
    return offset;
  }

  event(data: unknown): void {
    const offset = this.entries.length + 1;
    this.entries = [...this.entries, { kind: "event", offset, id: "", user: "", client: "", at: 0, data }];
    this.changed();
  }

  run(id: string, data: unknown = undefined, answers?: number): FakeRun {
    return new FakeRun(this, id, data, answers);
  }

  put(run: RunEntry): void {
    this.entries = [...this.entries.filter((e) => e.offset !== run.offset), run].sort((a, b) => a.offset - b.offset);
    this.changed();
  }
}

export class FakeRun {
  readonly #session: FakeSession;
  readonly #encoder = new UIEncoder();
  entry: RunEntry;

  constructor(session: FakeSession, id: string, data: unknown, answers?: number) {
    this.#session = session;
    const offset = session.entries.length + 1;
    const base = { offset, id, user: "", client: "", at: 0, data };
    this.entry = {
      ...base,
      kind: "run",
      status: "open",
      text: "",
      parts: {},
      body: [],
      end: undefined,
      fragments: 0,
      chain: 0,
      answers,
    };
    session.put(this.entry);
  }

  append(...fragments: Fragment[]): this {
    this.entry = { ...this.entry, body: grow(this.entry.body, fragments) };
    this.#session.put(this.entry);
    return this;
  }

  say(text: string): this {
    return this.append({ part: "", text });
  }

  chunks(...chunks: UIMessageChunk[]): this {
    for (const chunk of chunks) this.append(...this.#encoder.encode(chunk));
    return this;
  }

  end(status: RunEntry["status"] = "complete", end: unknown = {}): this {
    this.entry = { ...this.entry, status, end };
    this.#session.put(this.entry);
    return this;
  }
}

/** The body with fragments at its end, neighbouring texts of one part joined, as a session has it. */
export function grow(body: RunEntry["body"], fragments: readonly Fragment[]): RunEntry["body"] {
  const grown = [...body];
  for (const { part = "", text, event } of fragments) {
    const last = grown.at(-1);
    if (text === undefined) grown.push({ part, event: JSON.parse(JSON.stringify(event)) });
    else if (last?.text !== undefined && last.part === part) grown[grown.length - 1] = { part, text: last.text + text };
    else grown.push({ part, text });
  }
  return grown;
}

/** A client whose sessions are fakes. */
export function fakeClient(): { client: Client; session: FakeSession } {
  const session = new FakeSession("chat-1");
  return { client: { session: () => session } as unknown as Client, session };
}

/** Lets all that is under way come to rest: nothing here waits for time. */
export async function rest(): Promise<void> {
  for (let n = 0; n < 3; n++) await new Promise((resolve) => setImmediate(resolve));
}
