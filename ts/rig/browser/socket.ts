import { once } from "node:events";
import { WebSocket } from "ws";

interface Answer {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Params;
  readonly result?: Params;
  readonly error?: { readonly message?: string } | string;
  readonly message?: string;
  readonly sessionId?: string;
}

export type Params = Readonly<Record<string, unknown>>;
export type Heard = (params: Params, session: string | undefined) => void;

/** Requests with answers and events over one WebSocket: what CDP and BiDi have in common. */
export class Remote {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, { resolve(result: Params): void; reject(error: Error): void }>();
  readonly #listeners = new Map<string, Set<Heard>>();
  #ids = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data) => this.#take(JSON.parse(String(data)) as Answer));
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const { reject } of this.#waiting.values()) reject(new Error("the browser is gone"));
      this.#waiting.clear();
    });
  }

  static async connect(url: string): Promise<Remote> {
    const socket = new WebSocket(url, { perMessageDeflate: false, maxPayload: 1 << 28 });
    await once(socket, "open");
    return new Remote(socket);
  }

  send(method: string, params: Params = {}, sessionId?: string): Promise<Params> {
    const id = ++this.#ids;
    this.#socket.send(JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) }));
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  on(method: string, heard: Heard): () => void {
    const all = this.#listeners.get(method) ?? new Set();
    this.#listeners.set(method, all.add(heard));
    return () => all.delete(heard);
  }

  close(): void {
    this.#socket.terminate();
  }

  #take(answer: Answer): void {
    if (answer.id === undefined) {
      const all = this.#listeners.get(answer.method ?? "") ?? [];
      for (const heard of all) heard(answer.params ?? {}, answer.sessionId);
      return;
    }
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (!answer.error) return waiting?.resolve(answer.result ?? {});
    const text = typeof answer.error === "string" ? answer.message : answer.error.message;
    waiting?.reject(new Error(text ?? "refused"));
  }
}
