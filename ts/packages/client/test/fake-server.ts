import type {
  BodyItem,
  ClientFrame,
  Cursor,
  EntryItem,
  Outcome,
  RequestItem,
  RunItem,
  RunStatus,
  ServerFrame,
  SessionFrame,
  StopItem,
  StopState,
} from "../src/wire.ts";
import type { FakeEnv, FakePipe } from "./fake-env.ts";

type Fragment = { readonly p: string; readonly d: string } | { readonly p: string; readonly v: unknown };

interface LogRun {
  readonly fragments: Fragment[];
  status: RunStatus;
  end: unknown;
  answers?: number;
  stop?: StopItem;
}

interface LogEntry {
  readonly item: Omit<EntryItem, "t">;
  readonly run?: LogRun;
}

const chain = (fragments: readonly Fragment[]) =>
  fragments.reduce((tag, f) => [...JSON.stringify(f)].reduce((t, c) => (t * 31 + c.charCodeAt(0)) >>> 0, tag), 0);

/** The log of one session, and how a correct server tells it. */
export class FakeLog {
  epoch = "";
  readonly entries: LogEntry[] = [];
  /** Counts everything that happens, so that a reader can be brought up to any moment. */
  readonly onFrame = new Set<(frame: SessionFrame) => void>();
  readonly session: string;
  readonly #ids = new Map<string, number>();

  constructor(session: string) {
    this.session = session;
  }

  get head(): number {
    return this.entries.length;
  }

  /** Appends a message, a state or an event; a known id appends nothing. */
  append(kind: string, data: unknown, more: Partial<EntryItem> = {}): { o: number; g: number; dup: boolean } {
    const known = more.id === undefined ? undefined : this.#ids.get(more.id);
    if (known !== undefined) return { o: known, g: known * 7, dup: true };
    const item = { ...this.#next(), k: kind, data, ...more };
    this.entries.push({ item });
    if (item.id !== undefined) this.#ids.set(item.id, item.o);
    this.#tell(this.#entryFrame(item.o));
    return { o: item.o, g: item.g, dup: false };
  }

  openRun(data: unknown = { role: "assistant" }, more: Pick<LogRun, "answers" | "stop"> = {}): number {
    const item = { ...this.#next(), k: "run", data };
    this.entries.push({ item, run: { fragments: [], status: "open", end: undefined, ...more } });
    this.#tell(this.#entryFrame(item.o));
    return item.o;
  }

  grow(o: number, ...fragments: Fragment[]): void {
    const run = this.#run(o);
    const from = run.fragments.length;
    run.fragments.push(...fragments);
    for (const frame of this.#fragsAfter(o, from)) this.#tell(frame);
  }

  end(o: number, status: RunStatus = "complete", data?: unknown): void {
    const run = this.#run(o);
    run.status = status;
    run.end = data;
    this.#tell(this.#endFrame(o));
  }

  /** A stop of a run, or of the answer that has not begun: its event, or that of its outcome. */
  stop(stop: StopItem, on: { readonly run?: number; readonly answers?: number }): { o: number; g: number } {
    if (on.run !== undefined) this.#run(on.run).stop = stop;
    const by = stop.state === "requested" ? { id: stop.id } : {};
    return this.append("event", { stop: { ...stop, ...on } }, by);
  }

  /** Who waits for their turns: while there are any, what is sent waits too. */
  queue: { readonly id: string; readonly u: string; readonly at: number; readonly data: unknown }[] | undefined;

  showQueue(out: readonly { readonly id: string; readonly u: string; readonly state: string }[] = []) {
    const queue = this.queue ?? [];
    const shown = { policy: "queue", turn: queue.length ? 1 : null, queue, ...(out.length && { out }) };
    return this.append("state", shown, { key: "holdfast:turns" });
  }

  /** The next one has its turn. */
  letIn(): void {
    const next = this.queue?.shift();
    if (next) this.append("message", next.data, { id: next.id, u: next.u, c: "me" });
    this.showQueue();
  }

  ask(id: string, data?: unknown, more: Partial<RequestItem> = {}): number {
    return this.append("event", { request: { id, state: "open", by: 1_790_000_300_000, data, ...more } }, { id }).o;
  }

  /** Settles a request, if nothing has: what has is returned, and whether it was this. */
  settle(
    o: number,
    state: string,
    data: unknown,
    by: Partial<EntryItem> = {},
  ): { item: LogEntry["item"]; won: boolean } {
    const request = (e: LogEntry) => (e.item.data as { readonly request?: RequestItem } | null | undefined)?.request;
    const before = this.entries.find((e) => request(e)?.o === o);
    if (before) return { item: before.item, won: by.id !== undefined && before.item.id === by.id };
    const { u, c } = by;
    const id = this.entries[o - 1]?.item.id;
    this.append("event", { request: { o, id, state, data, ...(u && { u }), ...(c && { c }) } }, by);
    const item = this.entries.at(-1)?.item;
    if (!item) throw new Error("nothing was appended");
    return { item, won: true };
  }

  /** The log is deleted, and another one begun. */
  replace(epoch: string): void {
    this.epoch = epoch;
    this.entries.length = 0;
    this.#ids.clear();
  }

  /** All that a reader with this cursor is sent, from the answer to live. */
  answer(last: number | undefined, cur: Cursor | undefined): ServerFrame[] {
    const s = this.session;
    const { head } = this;
    const known = cur && (cur.e === this.epoch || (cur.e === "" && cur.o === 0)) && cur.o <= head;
    if (known) {
      const frames = this.#after(cur);
      const answer = this.#sub("continuous", cur.o + 1, cur.o > 0);
      return [answer, ...frames, { t: "live", s, o: head }];
    }
    const from = Math.max(1, head - (last ?? 50) + 1);
    const outcome: Outcome = head === 0 ? "continuous" : cur && cur.e !== this.epoch ? "lost" : "snapshot";
    const before = this.entries
      .slice(0, from - 1)
      .filter((e) => e.run?.status === "open" || this.#isLatest(e) || this.#asks(e));
    const after = this.entries.slice(from - 1);
    const frames = [...before, ...after].flatMap((e) => this.#standing(e.item.o));
    return [this.#sub(outcome, from, from > 1), ...frames, { t: "live", s, o: head }];
  }

  page(before: number, limit: number): { items: (EntryItem | RunItem)[]; more: boolean } {
    const first = Math.max(1, before - limit);
    const items = this.entries
      .slice(first - 1, before - 1)
      .flatMap((e) => this.#standing(e.item.o))
      .map(({ s: _, ...item }) => item as EntryItem | RunItem);
    return { items, more: first > 1 };
  }

  #next() {
    const o = this.head + 1;
    if (o === 1 && this.epoch === "") this.epoch = "epoch00001";
    const base = { o, g: o * 7, at: 1_790_000_000_000 + o };
    return o === 1 ? { ...base, e: this.epoch } : base;
  }

  #sub(outcome: Outcome, from: number, more: boolean): ServerFrame {
    return { t: "sub", s: this.session, outcome, e: this.epoch, from, head: this.head, ...(more && { more }) };
  }

  #tell(frame: SessionFrame): void {
    for (const on of [...this.onFrame]) on(frame);
  }

  #run(o: number): LogRun {
    const run = this.entries[o - 1]?.run;
    if (!run) throw new Error(`no run at ${o}`);
    return run;
  }

  #isLatest({ item }: LogEntry): boolean {
    return item.k === "state" && !this.entries.some((e) => e.item.key === item.key && e.item.o > item.o);
  }

  #asks({ item }: LogEntry): boolean {
    const told = (e: LogEntry["item"]) => (e.data as { readonly request?: RequestItem } | null | undefined)?.request;
    return told(item)?.state === "open" && !this.entries.some((e) => told(e.item)?.o === item.o);
  }

  /** A superseded state is compacted away: the entry after it covers its offset. */
  #isGone(entry: LogEntry): boolean {
    return entry.item.k === "state" && !this.#isLatest(entry);
  }

  #standing(o: number): SessionFrame[] {
    const entry = this.entries[o - 1];
    return !entry || this.#isGone(entry) ? [] : [this.#entryFrame(o)];
  }

  #entryFrame(o: number): SessionFrame {
    const entry = this.entries[o - 1];
    if (!entry) throw new Error(`no entry at ${o}`);
    let f = o;
    for (let e = this.entries[f - 2]; e && this.#isGone(e); e = this.entries[f - 2]) f--;
    const first = f < o ? { f } : {};
    const { k, ...item } = entry.item;
    if (!entry.run) return { t: "entry", s: this.session, ...item, k, ...first };
    const { fragments, status, end, answers, stop } = entry.run;
    return {
      t: "run",
      s: this.session,
      ...item,
      ...first,
      status,
      n: fragments.length,
      h: chain(fragments),
      body: merged(fragments).map(({ item: body }) => body),
      ...(end !== undefined && { end }),
      ...(answers !== undefined && { answers }),
      ...(stop && { stop }),
    };
  }

  #endFrame(o: number): SessionFrame {
    const { fragments, status, end } = this.#run(o);
    const base = { t: "end", s: this.session, o, n: fragments.length, h: chain(fragments), status, at: 1 } as const;
    return end === undefined ? base : { ...base, data: end };
  }

  #fragsAfter(o: number, n: number): SessionFrame[] {
    const { fragments } = this.#run(o);
    let at = n;
    return merged(fragments.slice(n)).map(({ item, count }) => {
      at += count;
      const h = chain(fragments.slice(0, at));
      return { t: "frag", s: this.session, o, n: at, ...(count > 1 && { m: count }), h, ...item };
    });
  }

  #after(cur: Cursor): SessionFrame[] {
    const grown = (cur.r ?? []).flatMap(([o, n]) => {
      const frames = this.#fragsAfter(o, n);
      return this.#run(o).status === "open" ? frames : [...frames, this.#endFrame(o)];
    });
    return [...grown, ...this.entries.slice(cur.o).flatMap((e) => this.#standing(e.item.o))];
  }
}

function merged(fragments: readonly Fragment[]): { item: BodyItem; count: number }[] {
  const out: { item: BodyItem & { p: string }; count: number }[] = [];
  for (const f of fragments) {
    const last = out.at(-1);
    if ("d" in f && last && last.item.p === f.p && last.item.d !== undefined) {
      out[out.length - 1] = { item: { p: f.p, d: last.item.d + f.d }, count: last.count + 1 };
    } else out.push({ item: { ...f }, count: 1 });
  }
  return out.map(({ item: { p, ...item }, count }) => ({ item: p === "" ? item : { p, ...item }, count }));
}

/** A server of the protocol over fake pipes. */
export class FakeServer {
  readonly logs = new Map<string, FakeLog>();
  readonly frames: ClientFrame[] = [];
  readonly gens: number[] = [];
  /** Sessions that nobody may read, and tokens that verify (all, if empty). */
  readonly denied = new Set<string>();
  readonly tokens = new Set<string>();
  /** Refuses a send where it gives a code. */
  refuse: (id: string) => { code: string; after?: number } | undefined = () => undefined;
  /** Refuses a subscription, or a signal, for now: it tells when to repeat it. */
  tooMany: (frame: ClientFrame) => number | undefined = () => undefined;
  acks = true;
  beat = 10_000;
  rest: number | undefined = 25_000;
  /** Whether it takes connections, by word of its gate. */
  up = true;
  readonly reports: { readonly reason: string; readonly log: readonly unknown[] }[] = [];
  exp: number | undefined;
  readonly #env: FakeEnv;
  #conns = 0;
  #attached: FakePipe | undefined;

  constructor(env: FakeEnv) {
    this.#env = env;
    env.onDial = (pipe) => this.accept(pipe);
    env.onFetch = (url, { body = "" }) => {
      if (url.includes("/ready")) return { status: this.up ? 204 : 503, text: "" };
      if (!url.includes("/report")) return { status: 404, text: "" };
      this.reports.push(JSON.parse(body) as FakeServer["reports"][number]);
      return { status: 204, text: "" };
    };
  }

  /** It is gone, and refuses every dial, until back(). */
  down(): void {
    this.up = false;
    this.#env.onDial = (pipe) => this.#env.soon(() => pipe.living && pipe.end());
    for (const pipe of this.#env.pipes) if (pipe.living) pipe.end();
  }

  back(): void {
    this.up = true;
    this.#env.onDial = (pipe) => this.accept(pipe);
  }

  log(session: string): FakeLog {
    let log = this.logs.get(session);
    if (!log) {
      log = new FakeLog(session);
      this.logs.set(session, log);
    }
    return log;
  }

  say(frame: ServerFrame, pipe: FakePipe = this.#env.pipe): void {
    if (pipe.living) pipe.events.message(JSON.stringify(frame));
  }

  /** Accepts a dial in the next moment. */
  accept(pipe: FakePipe): void {
    const reading = new Map<string, () => void>();
    pipe.onSend = (text) => {
      const frame = JSON.parse(text) as ClientFrame;
      this.frames.push(frame);
      this.#env.soon(() => this.#handle(frame, pipe, reading));
    };
    this.#env.soon(() => pipe.living && pipe.events.opened());
  }

  of<T extends ClientFrame["t"]>(type: T): Extract<ClientFrame, { t: T }>[] {
    return this.frames.filter((f): f is Extract<ClientFrame, { t: T }> => f.t === type);
  }

  #handle(frame: ClientFrame, pipe: FakePipe, reading: Map<string, () => void>): void {
    if (!pipe.living) return;
    const after = "s" in frame ? this.tooMany(frame) : undefined;
    if (after && "s" in frame)
      return this.say({ t: "err", re: frame.t, s: frame.s, code: "rate_limited", msg: "too many frames", after }, pipe);
    switch (frame.t) {
      case "hello":
        if (this.tokens.size && !this.tokens.has(frame.token)) return pipe.end(4501, "the token does not verify");
        if (frame.mode === "standby") return this.say({ t: "ready", beat: this.beat, ...this.#rest() }, pipe);
        return this.#attach(frame, pipe, reading);
      case "take":
        return this.#attach(frame, pipe, reading);
      case "sub":
        return this.#subscribe(frame.s, frame.last, frame.cur, pipe, reading);
      case "unsub":
        reading.get(frame.s)?.();
        return;
      case "send":
        return this.#send(frame, pipe);
      case "stop":
        return this.#stop(frame, pipe);
      case "queue":
        return this.#queue(frame, pipe);
      case "answer":
        return this.#answer(frame, pipe);
      case "page": {
        const { s, id, before = 0, limit = 50 } = frame;
        const log = this.log(s);
        return this.say({ t: "page", id, s, e: log.epoch, ...log.page(before, limit) }, pipe);
      }
      case "ping":
        return this.say({ t: "pong", n: frame.n }, pipe);
      case "token":
        return this.say({ t: "token" }, pipe);
    }
  }

  #rest() {
    return this.rest === undefined ? {} : { rest: this.rest };
  }

  #attach(
    frame: Extract<ClientFrame, { t: "hello" | "take" }>,
    pipe: FakePipe,
    reading: Map<string, () => void>,
  ): void {
    this.gens.push(frame.gen);
    const { beat, exp } = this;
    const more = { ...this.#rest(), ...(exp !== undefined && { exp }) };
    const conn = `x${++this.#conns}`;
    // Of two connections of one client the newer lives.
    if (this.#attached?.living && this.#attached !== pipe) this.#attached.end(4502, "a newer one lives");
    this.#attached = pipe;
    this.say({ t: "welcome", conn, user: "anna", now: this.#env.now(), beat, max: 1000, ...more }, pipe);
    for (const { s, last, cur } of frame.subs) this.#subscribe(s, last, cur, pipe, reading);
  }

  #subscribe(
    s: string,
    last: number | undefined,
    cur: Cursor | undefined,
    pipe: FakePipe,
    reading: Map<string, () => void>,
  ): void {
    reading.get(s)?.();
    if (this.denied.has(s)) {
      return this.say({ t: "sub", s, outcome: "denied", code: "forbidden", msg: "not yours" }, pipe);
    }
    const log = this.log(s);
    for (const frame of log.answer(last, cur)) this.say(frame, pipe);
    const on = (frame: SessionFrame) => this.say(frame, pipe);
    log.onFrame.add(on);
    reading.set(s, () => log.onFrame.delete(on));
  }

  #send({ s, id, data }: Extract<ClientFrame, { t: "send" }>, pipe: FakePipe): void {
    const refusal = this.refuse(id);
    if (refusal) return this.say({ t: "err", re: "send", s, id, msg: "no", ...refusal }, pipe);
    const log = this.log(s);
    if (log.queue) {
      const dup = log.queue.some((held) => held.id === id);
      if (!dup) log.queue.push({ id, u: "anna", at: this.#env.now(), data });
      const { o, g } = dup ? { o: log.head, g: log.head * 7 } : log.showQueue();
      if (this.acks)
        this.say({ t: "ack", s, id, o, g, at: this.#env.now(), ...(dup && { dup }), state: "queued" }, pipe);
      return;
    }
    const { o, g, dup } = log.append("message", data, { id, u: "anna", c: "me" });
    if (this.acks) this.say({ t: "ack", s, id, o, g, at: this.#env.now(), ...(dup && { dup }) }, pipe);
  }

  #answer({ s, id, request, data }: Extract<ClientFrame, { t: "answer" }>, pipe: FakePipe): void {
    const refusal = this.refuse(id);
    if (refusal) return this.say({ t: "err", re: "answer", s, id, msg: "no", ...refusal }, pipe);
    const { item, won } = this.log(s).settle(request, "answered", data, { id, u: "anna", c: "me" });
    const told = item.data as { readonly request: { readonly state: string } };
    const ack = { t: "ack", s, id, o: item.o, g: item.g, at: item.at, state: told.request.state } as const;
    const { u, c } = item;
    if (this.acks) this.say(won ? ack : { ...ack, lost: true, ...(u && { u }), ...(c && { c }) }, pipe);
  }

  #stop({ s, id, run, answers }: Extract<ClientFrame, { t: "stop" }>, pipe: FakePipe): void {
    const refusal = this.refuse(id);
    if (refusal) return this.say({ t: "err", re: "stop", s, id, msg: "no", ...refusal }, pipe);
    const state: StopState = "requested";
    const on = { ...(run !== undefined && { run }), ...(answers !== undefined && { answers }) };
    const { o, g } = this.log(s).stop({ id, u: "anna", c: "me", state }, on);
    if (this.acks) this.say({ t: "ack", s, id, o, g, at: this.#env.now(), state }, pipe);
  }

  #queue({ s, id, of, to, do: what }: Extract<ClientFrame, { t: "queue" }>, pipe: FakePipe): void {
    const log = this.log(s);
    const held = log.queue?.find((it) => it.id === of.id && it.u === (of.u ?? "anna"));
    if (!held) return this.say({ t: "err", re: "queue", s, id, code: "conflict", msg: "it has had its turn" }, pipe);
    log.queue = log.queue?.filter((it) => it !== held);
    if (what === "move") log.queue?.splice(to ?? 0, 0, held);
    const state = what === "move" ? "moved" : "withdrawn";
    const { o, g } = log.showQueue(what === "move" ? [] : [{ id: held.id, u: held.u, state }]);
    this.say({ t: "ack", s, id, o, g, at: this.#env.now(), state }, pipe);
  }
}
