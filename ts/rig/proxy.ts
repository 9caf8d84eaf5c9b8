import { once } from "node:events";
import net from "node:net";

/** What becomes of a connection that arrives. */
export type Fate = "pass" | "refuse" | "blackhole";

/** One connection as the proxy saw it begin. */
export interface Arrival {
  /** Unix milliseconds. */
  readonly at: number;
  readonly path: string;
  readonly kind: "websocket" | "http";
}

/**
 * A line with a delay each way, and a hand on it: connections may be cut, blackholed, held, refused. It knows no protocol
 * but the first line of a request.
 */
export class Proxy {
  /** The fate of new connections, by their first request; "refuse" is a reset once the request is there. */
  readonly fates: { websocket: Fate; http: Fate } = { websocket: "pass", http: "pass" };
  readonly arrivals: Arrival[] = [];
  /** When the first answer to each came back from the other side. */
  readonly answers: number[] = [];
  /** How long after its first answer a new connection is cut; undefined for never. */
  slam: number | undefined;
  /** Bytes a second each way; Infinity for no limit. */
  rate = Infinity;
  /** How many new connections are still to be reset before they could say anything. */
  #resets = 0;
  readonly #target: number;
  /** In ms one way. */
  delay: number;
  readonly #links = new Set<Link>();
  #server: net.Server | undefined;
  #port = 0;

  /** Passes to a port of this machine. */
  constructor(target: number, delay = 50) {
    this.#target = target;
    this.delay = delay;
  }

  get port(): number {
    return this.#port;
  }

  async listen(): Promise<void> {
    // Below the ports that the system gives out, so that the port is still free after a time of refusing.
    while (!this.#server) {
      const port = this.#port || 20_000 + Math.floor(Math.random() * 12_000);
      const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
      server.listen(port, "127.0.0.1");
      try {
        await once(server, "listening");
        this.#server = server;
        this.#port = port;
      } catch (error) {
        if (this.#port) throw error;
      }
    }
  }

  /** New connections are refused by the system, as by a machine without a server. Those that exist are reset. */
  refuse(): void {
    this.#server?.close();
    this.#server = undefined;
    this.reset();
  }

  /** The end of refuse. */
  async accept(): Promise<void> {
    await this.listen();
  }

  /** Existing connections stay open and carry nothing any more; new ones pass. */
  zombify(): void {
    for (const link of this.#links) link.mode = "drop";
  }

  /** What clients send still arrives, and they hear nothing any more. */
  mute(): void {
    for (const link of this.#links) if (link.mode === "pass") link.mode = "mute";
  }

  /** As zombify, but what is sent is kept, and comes after release. */
  hold(): void {
    for (const link of this.#links) if (link.mode === "pass") link.mode = "hold";
  }

  release(): void {
    for (const link of this.#links) link.release();
  }

  /** New connections are accepted and hear nothing, for ever. */
  blackhole(): void {
    this.fates.websocket = this.fates.http = "blackhole";
  }

  /** New connections pass again. Those that were blackholed stay dead. */
  heal(): void {
    this.fates.websocket = this.fates.http = "pass";
    this.slam = undefined;
    this.#resets = 0;
  }

  /** Resets the next n connections as they arrive. */
  resetNext(n: number): void {
    this.#resets = n;
  }

  /** Resets all connections. */
  reset(): void {
    for (const link of this.#links) link.reset();
  }

  dials(since = 0): readonly Arrival[] {
    return this.arrivals.filter(({ at, kind }) => kind === "websocket" && at >= since);
  }

  close(): void {
    this.#server?.close();
    this.#server = undefined;
    for (const link of this.#links) link.reset();
  }

  #accept(socket: net.Socket): void {
    // A reset of the other side is no news here.
    socket.on("error", () => {});
    if (this.#resets > 0) {
      this.#resets--;
      socket.resetAndDestroy();
      return;
    }
    socket.once("data", (first) => this.#begin(socket, first));
  }

  #begin(socket: net.Socket, first: Buffer): void {
    const head = first.toString("latin1");
    const kind = /\r\nupgrade: *websocket/i.test(head) ? "websocket" : "http";
    this.arrivals.push({ at: Date.now(), kind, path: head.split(" ", 2)[1] ?? "" });
    const fate = this.fates[kind];
    if (fate === "refuse") return void socket.resetAndDestroy();
    const link = new Link(this, socket, fate === "pass" ? this.#target : undefined, first);
    if (fate === "blackhole") link.mode = "drop";
    this.#links.add(link);
    link.ended = () => this.#links.delete(link);
  }
}

type Mode = "pass" | "drop" | "hold" | "mute";

/** One connection through the proxy. */
class Link {
  readonly #proxy: Proxy;
  readonly #client: net.Socket;
  readonly #upstream: net.Socket | undefined;
  readonly #up: Lane | undefined;
  readonly #down: Lane | undefined;
  #mode: Mode = "pass";
  ended: () => void = () => {};

  constructor(proxy: Proxy, client: net.Socket, target: number | undefined, first: Buffer) {
    this.#proxy = proxy;
    this.#client = client;
    client.on("close", () => this.#closed());
    if (target === undefined) {
      client.resume();
      return;
    }
    const upstream = net.connect({ port: target, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    this.#upstream = upstream;
    upstream.on("error", () => {});
    this.#up = new Lane(proxy, upstream);
    this.#down = new Lane(proxy, client);
    this.#join(client, this.#up, ["drop"]);
    this.#join(upstream, this.#down, ["drop", "mute"]);
    this.#up.push(first);
    upstream.once("data", () => {
      proxy.answers.push(Date.now());
      this.#slamLater();
    });
    upstream.on("close", () => this.#closed());
  }

  get mode(): Mode {
    return this.#mode;
  }

  set mode(mode: Mode) {
    this.#mode = mode;
    if (mode === "drop") this.#up?.clear();
    if (mode === "drop" || mode === "mute") this.#down?.clear();
    for (const lane of [this.#up, this.#down]) lane?.pause(mode === "hold");
  }

  release(): void {
    if (this.#mode === "hold") this.mode = "pass";
  }

  /** Both ends hear of it at once: the delay is the line's, and there is none any more. */
  reset(): void {
    for (const lane of [this.#up, this.#down]) lane?.clear();
    this.#client.resetAndDestroy();
    this.#upstream?.resetAndDestroy();
    this.ended();
  }

  #join(from: net.Socket, lane: Lane, dead: readonly Mode[]): void {
    const push = (piece: Piece) => {
      if (!dead.includes(this.#mode)) lane.push(piece);
    };
    from.on("data", push);
    from.on("end", () => push("end"));
    from.on("close", (broken) => {
      if (broken) push("reset");
    });
  }

  #slamLater(): void {
    const { slam } = this.#proxy;
    if (slam !== undefined) setTimeout(() => this.reset(), slam);
  }

  #closed(): void {
    if (this.#client.destroyed && (this.#upstream?.destroyed ?? true)) this.ended();
  }
}

type Piece = Buffer | "end" | "reset";

/** What travels one way, in order, each piece when its time has come. */
class Lane {
  readonly #proxy: Proxy;
  readonly #to: net.Socket;
  #queue: { readonly due: number; readonly piece: Piece }[] = [];
  #timer: NodeJS.Timeout | undefined;
  #paused = false;
  #last = 0;

  constructor(proxy: Proxy, to: net.Socket) {
    this.#proxy = proxy;
    this.#to = to;
  }

  push(piece: Piece): void {
    const size = typeof piece === "string" ? 0 : piece.length;
    const due = Math.max(this.#last, performance.now() + this.#proxy.delay) + (size * 1_000) / this.#proxy.rate;
    this.#last = due;
    this.#queue.push({ due, piece });
    this.#arm();
  }

  clear(): void {
    this.#queue = [];
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  pause(paused: boolean): void {
    this.#paused = paused;
    if (!paused) this.#arm();
  }

  #arm(): void {
    const next = this.#queue[0];
    if (!next || this.#timer || this.#paused) return;
    this.#timer = setTimeout(() => this.#deliver(), Math.max(0, next.due - performance.now()));
  }

  #deliver(): void {
    this.#timer = undefined;
    while (!this.#paused && this.#queue[0] && this.#queue[0].due <= performance.now() + 0.5) {
      const piece = this.#queue.shift()?.piece;
      if (this.#to.destroyed || piece === undefined) continue;
      if (piece === "reset") this.#to.resetAndDestroy();
      else if (piece === "end") this.#to.end();
      else if (this.#to.writable) this.#to.write(piece);
    }
    this.#arm();
  }
}
