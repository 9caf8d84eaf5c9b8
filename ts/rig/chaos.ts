import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";
import { Chance } from "./chance.ts";
import { closed, listening } from "./peers/http.ts";
import { sleep } from "./tools.ts";

/**
 * What is done to a frame:
 * - drop: it is lost, and so is all that follows it that way. A line that keeps order loses nothing else.
 * - double: it comes twice.
 * - delay: it comes late, and what follows it too.
 * - cut: the connection ends before it came; after: just after.
 */
const HARMS = ["drop", "double", "delay", "cut", "after"] as const;
type Harm = (typeof HARMS)[number];

/** A frame that must not be doubled: a second hello on a connection is a breach that the server ends for good. */
const SINGLE = new Set(["hello", "take", "bye"]);

/** Frames of which there are so many that all the others would go unharmed beside them. */
const FREQUENT = new Set(["send", "ack", "entry"]);

/** A line that knows where WebSocket messages begin, and harms one here and there, whatever step of the protocol it is. */
export class Chaos {
  /** How often each step was harmed in each way, as "up send cut". */
  readonly steps = new Map<string, number>();
  /** How many frames the server has refused. */
  refused = 0;
  readonly #target: number;
  readonly #chance: Chance;
  readonly #http = createServer((request, response) => this.#forward(request, response));
  readonly #door = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  /** The part of frequent frames that are harmed; others, and handshakes, suffer ten times as often. */
  #harm: number;
  #port = 0;

  constructor(target: number, seed: number, harm: number) {
    this.#target = target;
    this.#chance = new Chance(seed);
    this.#harm = harm;
    this.#http.on("upgrade", (request, socket, head) => void this.#upgrade(request, socket, head));
  }

  get port(): number {
    return this.#port;
  }

  async listen(): Promise<void> {
    this.#port = await listening(this.#http);
  }

  /** No more harm, from now on; what is dead already stays so. */
  calm(): void {
    this.#harm = 0;
  }

  async close(): Promise<void> {
    for (const socket of this.#door.clients) socket.terminate();
    await closed(this.#http);
  }

  /** What to do to a frame, if anything. */
  harm(way: "up" | "down", type: string): Harm | undefined {
    if (this.#chance.next() >= this.#harm * (FREQUENT.has(type) ? 1 : 10)) return undefined;
    const harm = this.#chance.pick(HARMS);
    return harm === "double" && SINGLE.has(type) ? undefined : this.#noted(`${way} ${type}`, harm);
  }

  /** A time in ms by which something comes late. */
  lateness(): number {
    return this.#chance.next() * 1_500;
  }

  #noted<T extends string>(step: string, harm: T): T {
    const name = `${step} ${harm}`;
    this.steps.set(name, (this.steps.get(name) ?? 0) + 1);
    return harm;
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => {});
    if (this.#chance.next() < this.#harm * 10) {
      const harm = this.#noted("handshake", this.#chance.pick(["refuse", "silence", "delay"]));
      if (harm === "refuse") return void socket.destroy();
      if (harm === "silence") return;
      await sleep(this.lateness());
    }
    const protocols = request.headers["sec-websocket-protocol"]?.split(/, */) ?? [];
    const url = `ws://127.0.0.1:${this.#target}${request.url}`;
    const upstream = new WebSocket(url, protocols, { perMessageDeflate: false });
    upstream.on("error", () => socket.destroy());
    upstream.once("open", () => {
      this.#door.handleUpgrade(request, socket, head, (client) => {
        client.on("error", () => {});
        new Relay(this, "up", client, upstream);
        new Relay(this, "down", upstream, client);
      });
    });
  }

  #forward(incoming: IncomingMessage, response: ServerResponse): void {
    const { method, url, headers } = incoming;
    const onward = request({ port: this.#target, host: "127.0.0.1", method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    incoming.pipe(onward);
  }
}

/** One way of a connection. */
class Relay {
  readonly #chaos: Chaos;
  readonly #way: "up" | "down";
  readonly #from: WebSocket;
  readonly #to: WebSocket;
  /** What is under way, in order. */
  #queue: Promise<void> = Promise.resolve();
  #silent = false;

  constructor(chaos: Chaos, way: "up" | "down", from: WebSocket, to: WebSocket) {
    this.#chaos = chaos;
    this.#way = way;
    this.#from = from;
    this.#to = to;
    from.on("message", (data) => this.#take(String(data)));
    from.on("close", (code, reason) => this.#later(() => this.#end(code, String(reason))));
  }

  #take(text: string): void {
    const { t: type } = JSON.parse(text) as { t: string };
    if (type === "err") this.#chaos.refused++;
    const harm = this.#chaos.harm(this.#way, type);
    switch (harm) {
      case "drop":
        return this.#later(() => {
          this.#silent = true;
        });
      case "delay":
        this.#later(() => sleep(this.#chaos.lateness()));
        break;
      case "double":
        this.#later(() => this.#send(text));
        break;
      case "cut":
        return this.#later(() => this.#cut());
    }
    this.#later(() => this.#send(text));
    if (harm === "after") this.#later(() => this.#cut());
  }

  #later(run: () => void | Promise<void>): void {
    this.#queue = this.#queue.then(run);
  }

  #send(text: string): void {
    if (!this.#silent && this.#to.readyState === WebSocket.OPEN) this.#to.send(text);
  }

  #cut(): void {
    this.#from.terminate();
    this.#to.terminate();
  }

  /** An end is passed on, but where this way is silent: then the other side does not hear of it. */
  #end(code: number, reason: string): void {
    if (this.#silent) return;
    // 1005 and 1006 say that no code came, and cannot be sent.
    if (code === 1005 || code === 1006) this.#to.terminate();
    else this.#to.close(code, reason);
  }
}
