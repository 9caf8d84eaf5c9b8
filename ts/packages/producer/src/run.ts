import type { Api } from "./api.ts";
import { ApiError, type RunInfo, type RunStatus } from "./errors.ts";

/** One append to a run: text of a part, or an event. The part "" is the answer itself. */
export type Fragment =
  | { readonly part?: string; readonly text: string; readonly event?: never }
  | { readonly part?: string; readonly event: unknown; readonly text?: never };

/** How much goes into one fragment and one request, in characters and fragments; the server takes 64 KiB and 1 MiB. */
const MAX_TEXT = 16_000;
const MAX_REQUEST = 200_000;
const MAX_FRAGMENTS = 500;

/** How much may wait before `write` says to slow down, in characters. */
const MAX_WAITING = 1_000_000;

/** The refusals after which there is no use in producing any more. */
const OVER = new Set(["fenced", "run_ended", "stopped", "not_found"]);

/**
 * The producer's side of a run. What is written goes out in order, one request at a time, and what comes meanwhile goes
 * together in the next. Every fragment has a number, so a request whose answer was lost is repeated and writes nothing
 * twice; after a failure it goes on by itself, until the run is over or its opener's signal aborts.
 */
export class Run {
  readonly session: string;
  readonly #api: Api;
  readonly #over = new AbortController();
  readonly #unlisten: () => void;
  readonly #beatEvery: number;
  #info: RunInfo;

  /** What is not acknowledged: the fragments of the request under way first. Texts are joined behind those only. */
  #waiting: Fragment[] = [];
  #size = 0;
  #sending = 0;
  /** The first half of a character whose second has not come, by part. */
  readonly #halves = new Map<string, string>();
  /** The fragments that this producer has had acknowledged, and the number before the first of them. */
  readonly #sent: Fragment[] = [];
  readonly #base: number;

  #pumping: Promise<void> | undefined;
  #beat: ReturnType<typeof setTimeout> | undefined;
  #room: (() => void)[] = [];
  #ending = false;

  /** @internal */
  constructor(api: Api, session: string, info: RunInfo, options: { signal?: AbortSignal; beat?: number }) {
    this.#api = api;
    this.session = session;
    this.#info = info;
    this.#base = info.fragments;
    this.#beatEvery = options.beat ?? 15_000;
    const leave = () => this.#finish(options.signal?.reason);
    options.signal?.addEventListener("abort", leave, { once: true });
    this.#unlisten = () => options.signal?.removeEventListener("abort", leave);
    // Asked for before it began: this first beat is told so, and heeds it.
    this.#rest(info.stop?.state === "requested" ? 0 : this.#beatEvery);
  }

  /**
   * Aborts when there is no use in producing any more: somebody asked for the run to be stopped, which this has heeded by
   * ending it; the run was ended by somebody else; another producer has taken it over; or the signal that it was opened
   * with was aborted. Give it to whatever makes the answer.
   */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /** How the run stood at the last answer of the server. */
  get info(): RunInfo {
    return this.#info;
  }

  /** Appends text to a part. Resolves when there is room for more: at once, unless the server is slow. */
  text(text: string, part = ""): Promise<void> {
    return this.write(text ? [{ part, text }] : []);
  }

  /** Appends an event to a part: it is never joined with others and never dropped. At most about 60,000 bytes of JSON. */
  event(event: unknown, part = ""): Promise<void> {
    return this.write([{ part, event }]);
  }

  /** Appends fragments. Rejects once the run is over; not to look at that is fine, since the signal says it too. */
  write(fragments: readonly Fragment[]): Promise<void> {
    const written = this.#write(fragments);
    written.catch(() => {});
    return written;
  }

  async #write(fragments: readonly Fragment[]): Promise<void> {
    this.signal.throwIfAborted();
    for (const fragment of fragments) this.#put(fragment);
    this.#pump();
    if (this.#size > MAX_WAITING) {
      await new Promise<void>((resolve) => this.#room.push(resolve));
      this.signal.throwIfAborted();
    }
  }

  /** Resolves when all that was written is durable. */
  async flush(): Promise<void> {
    while (this.#pumping) await this.#pumping;
    this.signal.throwIfAborted();
  }

  /** Writes what waits and ends the run; `data` is what readers get with the end. Repeating it does nothing. */
  async end(status: Exclude<RunStatus, "open">, data?: unknown): Promise<void> {
    if (this.#info.status === status) return;
    // A heartbeat that comes after an end whose answer was lost would be told that the run is over.
    this.#ending = true;
    await this.flush();
    clearTimeout(this.#beat);
    const body = { fence: this.#info.fence, status, ...(data !== undefined && { data }) };
    try {
      this.#info = await this.#ask<RunInfo>("/end", body);
      this.#finish(new ApiError("run_ended", 409, `the run has ended: ${status}`));
    } catch (error) {
      throw this.#refused(error);
    }
  }

  #put(fragment: Fragment): void {
    const { part = "" } = fragment;
    if (fragment.text === undefined) {
      const event = wellFormedJSON(fragment.event);
      this.#waiting.push({ part, event });
      this.#size += sizeOf({ event });
      return;
    }
    // A character that is cut in two by its producer goes out whole, with its second half.
    const text = (this.#halves.get(part) ?? "") + fragment.text;
    const end = isHigh(text.charCodeAt(text.length - 1)) ? text.length - 1 : text.length;
    this.#halves.set(part, text.slice(end));
    this.#putText(part, wellFormed(text.slice(0, end)));
  }

  #putText(part: string, text: string): void {
    this.#size += text.length;
    let rest = text;
    const last = this.#waiting.length > this.#sending ? this.#waiting.at(-1) : undefined;
    if (last?.text !== undefined && last.part === part && last.text.length + rest.length <= MAX_TEXT) {
      this.#waiting[this.#waiting.length - 1] = { part, text: last.text + rest };
      return;
    }
    while (rest) {
      const cut = whole(rest, MAX_TEXT);
      this.#waiting.push({ part, text: rest.slice(0, cut) });
      rest = rest.slice(cut);
    }
  }

  #pump(): void {
    if (this.#pumping || this.signal.aborted) return;
    this.#pumping = this.#send().finally(() => {
      this.#pumping = undefined;
      if (this.#waiting.length) this.#pump();
      else this.#rest();
    });
  }

  /** Sends what waits, in as many requests as it takes. */
  async #send(): Promise<void> {
    // What is written in the same turn goes out together.
    await Promise.resolve();
    while (this.#waiting.length && !this.signal.aborted) {
      const batch = this.#waiting.slice(0, this.#fitting());
      this.#sending = batch.length;
      try {
        await this.#append(batch);
      } catch (error) {
        await this.#giveUp(error);
        return;
      }
      this.#sent.push(...batch);
      this.#waiting.splice(0, batch.length);
      this.#sending = 0;
      this.#size = this.#waiting.reduce((sum, f) => sum + sizeOf(f), 0);
      if (this.#size <= MAX_WAITING) this.#makeRoom();
    }
  }

  /**
   * What the server will never take must not leave readers waiting for the lease to lapse, and a stop is heeded by ending
   * the run as stopped.
   */
  async #giveUp(error: unknown): Promise<void> {
    const unwritable = error instanceof ApiError && (error.code === "too_large" || error.code === "invalid");
    if (unwritable && !this.signal.aborted) {
      const why = { code: "unwritable", message: "The answer could not be kept." };
      const body = { fence: this.#info.fence, status: "failed", data: { error: why } };
      await this.#ask<RunInfo>("/end", body).catch(() => {});
    }
    const stopped = error instanceof ApiError && error.code === "stopped" && !this.signal.aborted;
    const body = { fence: this.#info.fence, status: "stopped" };
    const ended = stopped ? await this.#ask<RunInfo>("/end", body).catch(() => undefined) : undefined;
    this.#refused(error);
    if (ended) this.#info = ended;
  }

  #fitting(): number {
    let size = 0;
    let n = 0;
    for (const fragment of this.#waiting) {
      size += sizeOf(fragment);
      if (n > 0 && (size > MAX_REQUEST || n >= MAX_FRAGMENTS)) break;
      n++;
    }
    return n;
  }

  async #append(batch: readonly Fragment[]): Promise<void> {
    const have = this.#base + this.#sent.length;
    let after = have;
    for (;;) {
      // After a gap, what the server has lost goes first.
      const fragments = [...this.#sent.slice(after - this.#base), ...batch].slice(0, MAX_FRAGMENTS);
      try {
        const { fragments: n } = await this.#ask<{ fragments: number }>("/fragments", {
          fence: this.#info.fence,
          after,
          fragments,
        });
        this.#info = { ...this.#info, fragments: n };
        after += fragments.length;
        // More than was sent: what was counted as a repeat may have been another's.
        if (n !== after) throw new ApiError("conflict", 409, "another producer writes to the run; one at a time can");
        if (after === have + batch.length) return;
      } catch (error) {
        const expected = error instanceof ApiError && error.code === "gap" ? error.run?.fragments : undefined;
        // Less than this producer began with is not its own to send again.
        if (expected === undefined || expected < this.#base || expected >= after) throw error;
        after = expected;
      }
    }
  }

  #ask<T>(path: string, body: unknown): Promise<T> {
    const run = `/v1/sessions/${encodeURIComponent(this.session)}/runs/${this.#info.run}`;
    return this.#api.persist<T>({ method: "POST", path: run + path, body, signal: this.signal });
  }

  /** A producer that says nothing for a while says that it lives, and so learns whether the run is still its own. */
  #rest(ms = this.#beatEvery): void {
    clearTimeout(this.#beat);
    if (this.signal.aborted || this.#ending) return;
    this.#beat = setTimeout(() => {
      if (this.#pumping) return;
      const beat = this.#ask("/fragments", { fence: this.#info.fence, fragments: [] });
      this.#pumping = beat.then(
        () => {},
        (error: unknown) => this.#giveUp(error),
      );
      void this.#pumping.finally(() => {
        this.#pumping = undefined;
        if (this.#waiting.length) this.#pump();
        else this.#rest();
      });
    }, ms);
    // A program that has nothing else to do may end.
    (this.#beat as { unref?: () => void }).unref?.();
  }

  /** Takes the refusal of a request: whatever is final ends this producer. */
  #refused(error: unknown): unknown {
    if (this.signal.aborted) return this.signal.reason;
    if (error instanceof ApiError && error.run && OVER.has(error.code)) this.#info = error.run;
    this.#finish(error);
    return error;
  }

  #finish(reason: unknown): void {
    clearTimeout(this.#beat);
    this.#unlisten();
    this.#over.abort(reason);
    this.#waiting = [];
    this.#size = 0;
    this.#makeRoom();
  }

  #makeRoom(): void {
    const waiting = this.#room;
    this.#room = [];
    for (const go of waiting) go();
  }
}

function sizeOf(fragment: Fragment): number {
  return fragment.text !== undefined ? fragment.text.length : JSON.stringify(fragment.event ?? null).length;
}

/** At most `most` characters of the text, and no half of a surrogate pair. */
function whole(text: string, most: number): number {
  if (text.length <= most) return text.length;
  return isHigh(text.charCodeAt(most - 1)) ? most - 1 : most;
}

function isHigh(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff;
}

/** The text with U+FFFD for halves of characters, which are no Unicode and which the server refuses. */
function wellFormed(text: string): string {
  return text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
}

/** The event as JSON has it, likewise. */
function wellFormedJSON(event: unknown): unknown {
  const json = JSON.stringify(event ?? null);
  // Halves of characters, and nothing else, are written in this way by JSON.stringify.
  if (!/\\ud[89a-f]/.test(json)) return event;
  return JSON.parse(json, (_, value: unknown) => (typeof value === "string" ? wellFormed(value) : value)) as unknown;
}
