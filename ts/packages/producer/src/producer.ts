import { Api, type ApiOptions, sleep } from "./api.ts";
import { ApiError, type RunInfo, type RunStatus } from "./errors.ts";
import { chunksOf } from "./pipe.ts";
import { Run } from "./run.ts";

export interface ProducerOptions extends ApiOptions {
  /** How often a run whose producer has nothing to say is kept alive, in ms. Default 15 s; the server's lease is 60 s. */
  readonly beat?: number;
}

export interface OpenRunOptions {
  /** Makes opening idempotent: where a run of this id is open in the session, that one is continued. */
  readonly id: string;
  /**
   * The offset of the message that it answers: a stop that was asked for of that answer before it began is for this run, whose
   * signal then aborts at once.
   */
  readonly answers?: number;
  /** What readers get with the run from the beginning. */
  readonly data?: unknown;
  /** Become the producer of a run that another one may still be writing to; that one is refused from then on. */
  readonly takeOver?: boolean;
  /**
   * For how long the server may hold back texts of the run, in ms (up to 500), so that readers get them in fewer and larger frames.
   * Events and the end come at once. A run that is continued keeps what it was opened with. Default: not at all.
   */
  readonly rollup?: number;
  /** Ends this producer, and leaves the run open. */
  readonly signal?: AbortSignal;
}

/** A stretch of a run: text of one part, or one event. */
export type Segment =
  | { readonly part: string; readonly text: string; readonly event?: never }
  | { readonly part: string; readonly event: unknown; readonly text?: never };

interface EntryBase {
  readonly offset: number;
  readonly id: string;
  readonly user: string;
  readonly client: string;
  readonly at: number;
  readonly data: unknown;
}

/** An entry of a session, in the form that @holdfast/client has it in. */
export type Entry =
  | (EntryBase & { readonly kind: "message" | "event" })
  | (EntryBase & { readonly kind: "state"; readonly key: string })
  | (EntryBase & {
      readonly kind: "run";
      readonly status: RunStatus;
      readonly body: readonly Segment[];
      readonly end: unknown;
      readonly answers?: number;
    });

/** What a user has sent, as the feed tells of it. */
export interface FeedItem {
  readonly cursor: string;
  readonly session: string;
  readonly entry: Entry;
}

/** A client of the backend's HTTP API. It holds no connection; any number of runs may be open at a time. */
export class Producer {
  readonly #api: Api;
  readonly #beat: number | undefined;

  constructor(options: ProducerOptions) {
    this.#api = new Api(options);
    this.#beat = options.beat;
  }

  /** Opens a run, or continues the one that its id opened. Rejects with the code run_ended where that has ended. */
  async openRun(session: string, options: OpenRunOptions): Promise<Run> {
    const { id, answers, data, takeOver, rollup, signal } = options;
    const info = await this.#api.persist<RunInfo>({
      method: "POST",
      path: `${path(session)}/runs`,
      body: {
        id,
        ...(answers !== undefined && { answers }),
        ...(data !== undefined && { data }),
        ...(takeOver && { takeOver }),
        ...(rollup && { rollup }),
      },
      signal,
    });
    if (info.status !== "open")
      throw new ApiError("run_ended", 409, `the run has ended: ${info.status}`, { run: info });
    return new Run(this.#api, session, info, {
      ...(signal && { signal }),
      ...(this.#beat !== undefined && { beat: this.#beat }),
    });
  }

  /** Appends a message of the backend. With an id that was used before, nothing is written. Returns where it stands. */
  async append(session: string, data: unknown, options: { id: string; signal?: AbortSignal }): Promise<number> {
    const { entries } = await this.#api.persist<{ entries: { offset: number }[] }>({
      method: "POST",
      path: `${path(session)}/entries`,
      body: { id: options.id, data },
      signal: options.signal,
    });
    return entries[0]?.offset ?? 0;
  }

  /**
   * Ends an open run as somebody who is not its producer, such as for a Stop button: the producer's signal aborts, at the
   * latest with its next heartbeat. False where the run has ended already, or there is none.
   */
  async stop(session: string, run: number, data?: unknown): Promise<boolean> {
    for (;;) {
      try {
        const { open } = await this.#api.persist<{ open: RunInfo[] }>({ method: "GET", path: path(session) });
        const info = open.find((r) => r.run === run);
        if (!info) return false;
        const body = { fence: info.fence, status: "stopped", ...(data !== undefined && { data }) };
        await this.#api.persist({ method: "POST", path: `${path(session)}/runs/${run}/end`, body });
        return true;
      } catch (error) {
        const code = error instanceof ApiError ? error.code : "";
        if (code === "run_ended" || code === "not_found") return false;
        // Somebody has taken it over in between: ask again under which fence.
        if (code !== "fenced") throw error;
      }
    }
  }

  /** The last entries of a session, at most `limit` (default 100), the oldest first. */
  async history(session: string, options: { limit?: number; before?: number } = {}): Promise<Entry[]> {
    const query = new URLSearchParams({ before: String(options.before ?? "end"), limit: String(options.limit ?? 100) });
    const { entries } = await this.#api.persist<{ entries: WireEntry[] }>({
      method: "GET",
      path: `${path(session)}/entries?${query}`,
    });
    return entries.map(entryOf);
  }

  /**
   * What users send, as it comes, from where the consumer of this name has got to. Ends with the signal, and otherwise goes
   * on over every failure. Call `done` after an item is dealt with; what was not comes again at the next start.
   */
  async *feed(consumer: string, signal: AbortSignal): AsyncGenerator<FeedItem> {
    let after: string | undefined;
    while (!signal.aborted) {
      try {
        const query = new URLSearchParams({ consumer, ...(after !== undefined && { after }) });
        const response = await this.#api.open({ method: "GET", path: `/v1/feed?${query}`, signal, lines: true });
        for await (const line of linesOf(response)) {
          const item = JSON.parse(line) as { cursor: string; session: string; entry: WireEntry };
          after = item.cursor;
          yield { ...item, entry: entryOf(item.entry) };
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof ApiError && !error.passing) throw error;
        await sleep(500, signal).catch(() => {});
      }
    }
  }

  /** Notes that a consumer of the feed is done with everything up to this item. */
  async done(consumer: string, item: FeedItem): Promise<void> {
    const name = encodeURIComponent(consumer);
    await this.#api.persist({ method: "POST", path: `/v1/feed/consumers/${name}`, body: { cursor: item.cursor } });
  }
}

function path(session: string): string {
  return `/v1/sessions/${encodeURIComponent(session)}`;
}

interface WireEntry {
  readonly offset: number;
  readonly kind: Entry["kind"];
  readonly id?: string;
  readonly user?: string;
  readonly client?: string;
  readonly at: number;
  readonly key?: string;
  readonly data?: unknown;
  readonly run?: {
    status: RunStatus;
    body: readonly { part?: string; text?: string; event?: unknown }[];
    end?: unknown;
    answers?: number;
  };
}

function entryOf(e: WireEntry): Entry {
  const { offset, id = "", user = "", client = "", at, data } = e;
  const base = { offset, id, user, client, at, data };
  if (e.kind === "state") return { ...base, kind: "state", key: e.key ?? "" };
  if (e.kind !== "run") return { ...base, kind: e.kind };
  const body = (e.run?.body ?? []).map(({ part = "", text, event }): Segment =>
    text !== undefined ? { part, text } : { part, event },
  );
  const { status = "open", end, answers } = e.run ?? {};
  return { ...base, kind: "run", status, body, end, ...(answers !== undefined && { answers }) };
}

/** The lines of a body that are not blank. */
async function* linesOf(response: Response): AsyncGenerator<string> {
  if (!response.body) return;
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of chunksOf(response.body)) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.trim()) yield line;
  }
}
