import type { Cancel, Env, FetchAnswer, Pipe, PipeEvents } from "../env/env.ts";
import type { Stream } from "../env/stream.ts";
import { type ClientFrame, decode, type ErrFrame, type SubItem } from "../wire.ts";
import { Cursors } from "./cursors.ts";

export type Hello = Extract<ClientFrame, { t: "hello" }>;
export type Mode = "events" | "poll";

/** What a pipe asks of those who made it. */
export interface HttpParts {
  readonly env: Env;
  readonly stream: Stream;
  /** The address of a kind of request, such as "events", with the number of the dial or without. */
  address(kind: "events" | "poll" | "send"): string;
  /** The generation for one more attach; undefined once another pipe of this client has said hello. */
  generation(): number | undefined;
  /** The first frames have come this way. */
  works(mode: Mode): void;
  /** The server does not take it this way. */
  refused(): void;
}

/** Bytes that came so recently, in ms, are a sign of life; older ones are none. */
const FRESH = 1_000;
/** The first poll waits no longer than this, in ms, so that the welcome is not kept back with it. */
const FIRST_WAIT = 50;
const LONGEST_WAIT = 20_000;
const SEND_TIMEOUT = 15_000;
/** How a message begins: the type stands first. */
const SEND = '{"t":"send"';
/** How much goes into one send: frames, and UTF-16 units beyond the first frame. */
const BATCH = 64;
const BATCH_SIZE = 200_000;
const PAUSE = 500;

/**
 * A pipe over HTTP: what the server says comes as the growing answer to one request ("events"), or, where a proxy holds
 * that back, as the answers to one request after another ("poll"); what the client says goes in requests of its own.
 *
 * The server cannot hear a request that it is answering. So whatever changes what is wanted (a session more, a token, a
 * page that is looked at again) makes a new request with the cursors as they stand, which replaces the one before.
 */
export class HttpPipe implements Pipe {
  readonly single = true;
  readonly #parts: HttpParts;
  readonly #on: PipeEvents;
  readonly #cursors = new Cursors();
  #mode: Mode;
  #patience: number;

  #hello: Hello | undefined;
  #hidden = false;
  #over = false;
  /** The request under way. What comes of an earlier one is not listened to. */
  #request = 0;
  #cancel: Cancel | undefined;
  #timer: Cancel | undefined;
  #again = false;
  #buffer = "";

  #welcomed = false;
  #beats: readonly [visible: number, hidden: number] = [25_000, 25_000];
  #heardAt = 0;
  /** A ping that waits for a sign of life. */
  #owed: number | undefined;

  #out: string[] = [];
  #sending = false;

  /** With "events": goes on with "poll" when nothing has come after `patience` ms. */
  constructor(parts: HttpParts, on: PipeEvents, mode: Mode, patience: number) {
    this.#parts = parts;
    this.#on = on;
    this.#mode = mode;
    this.#patience = patience;
  }

  get mode(): Mode {
    return this.#mode;
  }

  /** The latest hello, with the latest token. */
  get hello(): Hello | undefined {
    return this.#hello;
  }

  get heard(): boolean {
    return this.#welcomed;
  }

  send(text: string): void {
    const frame = JSON.parse(text) as ClientFrame;
    switch (frame.t) {
      case "hello":
        this.#hello = frame;
        this.#hidden = frame.hidden === true;
        for (const sub of frame.subs) this.#cursors.ask(sub);
        return this.#ask();
      case "sub":
        this.#cursors.ask(bare(frame));
        return this.#askAgain();
      case "unsub":
        // It is not worth a request: what still comes of it nobody reads, and the next request leaves it out.
        return this.#cursors.forget(frame.s);
      case "token":
        if (this.#hello) this.#hello = { ...this.#hello, token: frame.token };
        return this.#askAgain();
      case "view":
        this.#hidden = frame.hidden;
        // Only who looks needs to hear more often than before.
        return frame.hidden ? undefined : this.#askAgain();
      case "ping":
        return this.#ping(frame.n);
      case "claim":
        if (this.#hello) this.#hello = { ...this.#hello, act: "claim" };
        return this.#askAgain();
      case "take":
      case "pong":
      case "bye":
        return;
    }
    this.#out.push(text);
    this.#flush();
  }

  drop(): void {
    this.#over = true;
    this.#stop();
  }

  /** The machine above is to come back at once, with its cursors. */
  moveOn(reason: string): void {
    this.#say({ t: "bye", code: 1012, reason, after: 0, spread: 0 });
  }

  /**
   * The stream carries nothing to the server, so nobody can answer. That bytes came within the last second is as good as an
   * answer; otherwise the next ones are. If none come, neither does a pong, and the machine above does what it does with
   * a dead connection. The server says something once a beat, so a ping that only fills a silence is answered in time.
   */
  #ping(n: number): void {
    if (this.#parts.env.now() - this.#heardAt <= FRESH) this.#say({ t: "pong", n });
    else this.#owed = n;
  }

  /** Once for all that is asked for together. */
  #askAgain(): void {
    if (this.#again) return;
    this.#again = true;
    this.#parts.env.soon(() => {
      this.#again = false;
      this.#ask();
    });
  }

  #ask(): void {
    if (this.#over || !this.#hello) return;
    this.#stop();
    const gen = this.#parts.generation();
    // Another pipe of this client has the server's ear; to take it back would be to fight ourselves.
    if (gen === undefined) return;
    const { env, stream } = this.#parts;
    const mode = this.#mode;
    const wait = this.#welcomed ? Math.min(LONGEST_WAIT, this.#beat() * 0.8) : FIRST_WAIT;
    const { hidden: _, ...hello } = this.#hello;
    const more = { ...(this.#hidden && { hidden: true }), ...(mode === "poll" && { wait }) };
    const body = JSON.stringify({ ...hello, gen, ...more, subs: this.#cursors.list() });
    const mine = ++this.#request;
    const current = () => mine === this.#request && !this.#over;
    const asked = env.now();
    this.#buffer = "";
    this.#timer = this.#deadline(mode, wait);
    this.#cancel = stream(this.#parts.address(mode), body, {
      answered: (status, after) => current() && status !== 200 && this.#refused(status, after),
      text: (chunk) => current() && this.#text(chunk, current),
      ended: (broken) => current() && this.#ended(broken, asked),
    });
  }

  #deadline(mode: Mode, wait: number): Cancel | undefined {
    const { env } = this.#parts;
    if (mode === "poll") return env.timer(() => this.#lost("no answer in time"), wait + SEND_TIMEOUT);
    if (this.#welcomed) return undefined;
    return env.timer(() => {
      this.#mode = "poll";
      this.#ask();
    }, this.#patience);
  }

  #stop(): void {
    this.#request++;
    this.#cancel?.();
    this.#timer?.();
    this.#cancel = this.#timer = undefined;
  }

  /** Events are "data: {...}" between empty lines, the lines of a poll are bare: what is left of both is the same. */
  #text(chunk: string, current: () => boolean): void {
    this.#heardAt = this.#parts.env.now();
    const lines = (this.#buffer + chunk).split("\n");
    this.#buffer = lines.pop() ?? "";
    for (const line of lines) if (current()) this.#line(line);
  }

  #line(line: string): void {
    const text = line.replace(/^data: ?/, "").trim();
    const frame = text ? decode(text) : undefined;
    if (!frame) return;
    if (this.#mode === "events") this.#timer?.();
    if (frame.t === "welcome") {
      const { beat, exp, rest = beat } = frame;
      this.#beats = [beat, rest];
      const first = !this.#welcomed;
      this.#welcomed = true;
      // What the user has done is done: the requests that follow are the pipe's own.
      if (this.#hello?.act) this.#hello = { ...this.#hello, act: undefined };
      this.#parts.works(this.#mode);
      // The machine above was welcomed once; what a later welcome tells it is how long the token lasts.
      if (first) this.#on.message(text);
      else this.#say({ t: "token", ...(exp !== undefined && { exp }) });
    } else {
      this.#cursors.take(frame);
      this.#on.message(text);
    }
    if (this.#owed !== undefined) this.#say({ t: "pong", n: this.#owed });
    this.#owed = undefined;
  }

  #ended(broken: string | undefined, asked: number): void {
    const { env } = this.#parts;
    const rest = this.#buffer;
    this.#buffer = "";
    if (this.#mode === "poll" && broken === undefined) {
      const before = this.#request;
      if (rest) this.#line(rest);
      if (before !== this.#request || this.#over) return;
      this.#stop();
      // A server that answers at once and has nothing to say must not be asked without a pause.
      const quick = this.#welcomed && env.now() - asked < FIRST_WAIT;
      this.#timer = env.timer(() => this.#ask(), quick ? PAUSE : 0);
      return;
    }
    this.#lost(broken ?? "the stream ended");
  }

  #beat(): number {
    const [visible, hidden] = this.#beats;
    return this.#hidden ? hidden : visible;
  }

  #refused(status: number, after?: number): void {
    if (status !== 503 && status !== 429) this.#parts.refused();
    this.#lost(`the server answered ${status}`, after);
  }

  #lost(reason: string, after?: number): void {
    if (this.#over) return;
    if (after !== undefined) return this.#say({ t: "bye", code: 1013, reason, after });
    this.drop();
    this.#on.closed(1006, reason);
  }

  /** Says to the machine above what the server would. */
  #say(frame: { readonly t: string; readonly [member: string]: unknown }): void {
    const over = () => this.#over;
    // Never from within its own call.
    this.#parts.env.soon(() => over() || this.#on.message(JSON.stringify(frame)));
  }

  /** One request at a time, so that what was said first arrives first. */
  #flush(): void {
    if (this.#sending || !this.#out.length || this.#over || !this.#hello) return;
    let size = 0;
    const batch: string[] = [];
    while (batch.length < BATCH && this.#out[0] !== undefined && (!size || size + this.#out[0].length < BATCH_SIZE)) {
      const text = this.#out.shift() ?? "";
      size += text.length;
      batch.push(text);
    }
    this.#sending = true;
    void this.#post(batch, 2).then((answer) => {
      if (this.#over) return;
      if (!answer) return this.#lost("a request went unanswered");
      if (answer.status !== 200) return this.#lost(`the server answered ${answer.status}`, answer.after);
      this.#answers(answer.text);
    });
  }

  /** All that goes this way may be said twice. What fails twice is left to the machine above: it comes back and repeats. */
  async #post(batch: readonly string[], tries: number): Promise<FetchAnswer | undefined> {
    const { env } = this.#parts;
    const hello = JSON.stringify({ ...this.#hello, mode: "aside", subs: [] });
    const body = [hello, ...batch].join("\n");
    try {
      return await env.fetch(this.#parts.address("send"), { method: "POST", body, timeout: SEND_TIMEOUT });
    } catch {
      return tries > 1 && !this.#over ? this.#post(batch, tries - 1) : undefined;
    }
  }

  /** What waits here would be let in before what was refused for now: it is refused too, and comes again, in order. */
  #refuse(frame: ErrFrame): void {
    const sends = this.#out.filter((text) => text.startsWith(SEND));
    this.#out = this.#out.filter((text) => !text.startsWith(SEND));
    for (const text of sends) {
      const { s, id } = JSON.parse(text) as { s: string; id: string };
      this.#on.message(JSON.stringify({ ...frame, s, id }));
    }
  }

  #answers(text: string): void {
    for (const line of text.split("\n")) {
      const frame = decode(line);
      if (!this.#over && frame && frame.t !== "ready") this.#on.message(line);
      if (frame?.t === "err" && frame.re === "send" && frame.after) this.#refuse(frame);
    }
    // The answers make the line look alive, also where the stream beside it is dead.
    if (this.#parts.env.now() - this.#heardAt > this.#beat() * 1.25) return this.#lost("the stream is silent");
    // Not before: an answer makes room for another message, and one in this batch may have been refused.
    this.#sending = false;
    this.#flush();
  }
}

/** A subscription as it stands in a hello. */
const bare = ({ t: _, ...sub }: SubItem & { readonly t: "sub" }): SubItem => sub;
