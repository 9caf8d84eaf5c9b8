import { Client } from "../../src/client.ts";
import type { PipeEvents } from "../../src/env/env.ts";
import type { Stream, StreamEvents } from "../../src/env/stream.ts";
import { fallback } from "../../src/fallback/index.ts";
import type { ServerFrame } from "../../src/wire.ts";
import { FakeEnv, FakePipe } from "../fake-env.ts";
import { FakeServer } from "../fake-server.ts";

interface Attach {
  readonly kind: "events" | "poll";
  readonly hello: { gen: number; token: string; wait?: number; hidden?: boolean; subs: { s: string; cur?: unknown }[] };
  readonly at: number;
}

type Way = "fine" | "refused" | "blackholed" | "mute";

/** A world in which the ways to the server can be blocked one by one. The server is the same on all of them. */
export class HttpWorld {
  readonly env = new FakeEnv();
  readonly server = new FakeServer(this.env);
  socket: Way = "fine";
  /** Whether the server is there at all, and what it says when asked. */
  ready: number | "down" = 204;
  /** What a proxy does to growing answers. */
  events: "fine" | "held" | "dead" | number = "fine";
  sends: "fine" | "broken" = "fine";
  /** Whether polls are answered at once, though there is nothing to say. */
  hasty = false;
  readonly attaches: Attach[] = [];
  readonly asides: string[][] = [];
  readonly looks: FakePipe[] = [];
  readonly #living: { end(): void; readonly pipe: FakePipe }[] = [];
  #attached = 0;

  constructor() {
    this.env.onDial = (pipe) => this.#dial(pipe);
    this.env.onFetch = (url, { body }) => {
      if (this.ready === "down") throw new TypeError("no network");
      if (url.endsWith("/ready")) return { status: this.ready, text: "", ...(this.ready === 503 && { after: 700 }) };
      if (this.sends === "broken") throw new TypeError("reset");
      return this.#aside(body ?? "");
    };
  }

  client(session = "chat") {
    let tokens = 0;
    const client = new Client({
      url: "wss://host/v1/ws",
      token: () => `tok${++tokens}`,
      env: this.env,
      carrier: fallback({ stream: this.stream }),
    });
    const chat = client.session(session);
    client.connect();
    return { client, chat };
  }

  /** How many requests that attach are being answered. */
  get open(): number {
    return this.#living.length;
  }

  /** The server says something on all of them. */
  say(frame: ServerFrame): void {
    for (const { pipe } of this.#living) this.server.say(frame, pipe);
  }

  /** Every growing answer breaks off. */
  cut(): void {
    for (const { end } of this.#living.splice(0)) end();
  }

  stream: Stream = (url, body, on) => {
    const kind = url.endsWith("/events") ? "events" : "poll";
    const hello = JSON.parse(body) as Attach["hello"];
    this.attaches.push({ kind, hello, at: this.env.now() });
    let over = false;
    const calls: StreamEvents = {
      answered: (status, after) => over || on.answered(status, after),
      text: (chunk) => over || on.text(chunk),
      ended: (broken) => over || on.ended(broken),
    };
    const stop = this.ready === "down" ? this.#fail(calls) : this.#serve(kind, body, hello, calls);
    return () => {
      over = true;
      stop();
    };
  };

  #fail(on: StreamEvents): () => void {
    this.env.soon(() => on.ended("no network"));
    return () => {};
  }

  #serve(kind: Attach["kind"], body: string, hello: Attach["hello"], on: StreamEvents): () => void {
    if (kind === "events" && typeof this.events === "number") {
      const status = this.events;
      this.env.soon(() => on.answered(status));
      return () => {};
    }
    // The server's own rule: of one client only the highest generation lives.
    if (hello.gen <= this.#attached) throw new Error(`generation ${hello.gen} after ${this.#attached}`);
    this.#attached = hello.gen;
    const lines: string[] = [];
    let done: () => void = () => {};
    const pipe = this.#connect(body, (text) => {
      if (kind === "poll") lines.push(text);
      else if (this.events === "fine") on.text(`data: ${text}\n\n`);
      if (!/"t":"(welcome|sub|live|ping)"/.test(text)) done();
    });
    const living = { pipe, end: () => on.ended("reset") };
    this.#living.push(living);
    const stop = () => {
      pipe.drop();
      const i = this.#living.indexOf(living);
      if (i >= 0) this.#living.splice(i, 1);
    };
    this.env.soon(() => on.answered(200));
    const beat = (): void => {
      if (!pipe.living) return;
      this.server.say({ t: "ping", n: 1 }, pipe);
      this.env.timer(beat, this.server.beat);
    };
    if (kind === "events") this.env.timer(beat, this.server.beat);
    if (kind === "events") return stop;
    let cancel = this.env.timer(() => finish(), this.hasty ? 1 : (hello.wait ?? 20_000));
    const finish = () => {
      stop();
      // In pieces, as a network delivers them.
      const text = `${lines.join("\n")}\n`;
      on.text(text.slice(0, 7));
      on.text(text.slice(7));
      on.ended();
    };
    done = () => {
      cancel();
      cancel = this.env.timer(finish, 20);
    };
    return () => {
      cancel();
      stop();
    };
  }

  /** A connection to the server that begins with what `body` says. */
  #connect(body: string, message: (text: string) => void): FakePipe {
    const events: PipeEvents = { opened: () => {}, message, closed: () => {} };
    const pipe = new FakePipe("http", events);
    this.server.accept(pipe);
    for (const line of body.split("\n")) pipe.send(line);
    return pipe;
  }

  async #aside(body: string): Promise<{ status: number; text: string }> {
    this.asides.push(body.split("\n"));
    const answers: string[] = [];
    const verified = body.replace('"mode":"aside"', '"mode":"standby"');
    const pipe = this.#connect(verified, (text) => answers.push(text));
    await this.env.settle();
    pipe.drop();
    return { status: 200, text: answers.join("\n") };
  }

  #dial(pipe: FakePipe): void {
    if (this.socket === "blackholed") return;
    if (this.socket === "refused") return this.env.soon(() => pipe.living && pipe.end());
    if (this.socket === "mute") return this.env.soon(() => pipe.living && pipe.events.opened());
    this.server.accept(pipe);
    const toServer = pipe.onSend;
    pipe.onSend = (text) => {
      const frame = JSON.parse(text) as { t: string; mode?: string; gen: number };
      if (frame.mode === "standby") {
        this.looks.push(pipe);
        const ready = { t: "ready", beat: 10_000, rest: 25_000 } as unknown as ServerFrame;
        return this.env.soon(() => this.server.say(ready, pipe));
      }
      if (frame.t === "hello") {
        if (frame.gen <= this.#attached) throw new Error(`generation ${frame.gen} after ${this.#attached}`);
        this.#attached = frame.gen;
      }
      toServer(text);
    };
  }
}
