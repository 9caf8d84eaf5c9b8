import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect, createServer as createListener, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { FrameCounter } from "./frames.ts";

const tmp = fileURLToPath(new URL("../tmp/", import.meta.url));
const here = fileURLToPath(new URL(".", import.meta.url));
const PAGE = '<!doctype html><meta charset="utf-8"><title>tab</title><script type="module" src="/app.js"></script>';

export interface Connected {
  readonly client: string;
  readonly transport: string;
}

/** The real server, and before it a host with a page, which is a proxy too and can be told to be a bad one. */
export class Stage {
  readonly #program: string;
  readonly #data = mkdtempSync(`${tmp}stage-`);
  readonly #sockets = new Set<Socket>();
  readonly #lines: { readonly browser: Socket; readonly server: Socket }[] = [];
  #process: ChildProcess | undefined;
  #front: Server | undefined;
  #port = 0;
  #metrics = 0;
  #backend = "";
  #script = "";
  url = "";
  /** What the proxy does to WebSockets, and to answers that grow. */
  sockets: "pass" | "refuse" | "blackhole" = "pass";
  answers: "pass" | "hold" = "pass";
  /** The requests that it has let through, by their last word, and how many WebSockets were asked for. */
  readonly requests: string[] = [];
  dials = 0;
  /** How many frames of each type the server has sent over all WebSockets. */
  readonly frames = new Map<string, number>();
  /** Gives the tokens, or nothing to who shall get none; else whoever asks gets one for everything. */
  desk: ((user: string) => Promise<string | undefined>) | undefined;

  readonly #page: string;

  /** `page` is the file that the host's page is made of. */
  constructor(program: string, page = "stage-page.ts") {
    this.#program = program;
    this.#page = page;
  }

  /** Swallows what goes over the latest WebSocket, both ways, and lets neither side know. */
  blackholeLatest(): void {
    const line = this.#lines.at(-1);
    for (const socket of line ? [line.browser, line.server] : []) socket.unpipe().resume();
  }

  /** Resets the latest WebSocket. */
  cutLatest(): void {
    const line = this.#lines.at(-1);
    line?.browser.resetAndDestroy();
    line?.server.destroy();
  }

  async start(): Promise<void> {
    this.#run("token", "--new-secret", this.#secret);
    this.#backend = this.#run("token", "--secret-file", this.#secret, "--backend");
    this.#port = await freePort();
    this.#metrics = await freePort();
    const addresses = ["--addr", `127.0.0.1:${this.#port}`, "--metrics-addr", `127.0.0.1:${this.#metrics}`];
    this.#process = spawn(
      this.#program,
      ["serve", ...addresses, "--data", `${this.#data}/log`, "--jwt-secret-file", this.#secret],
      { stdio: "ignore" },
    );
    const { outputFiles } = await build({
      entryPoints: [here + this.#page],
      bundle: true,
      format: "esm",
      jsx: "automatic",
      // React mounts twice in development only.
      define: { "process.env.NODE_ENV": '"development"' },
      alias: {
        "@holdfast/client": `${here}../packages/client/src/index.ts`,
        "@holdfast/react": `${here}../packages/react/src/index.ts`,
      },
      write: false,
    });
    this.#script = outputFiles[0]?.text ?? "";
    this.#front = createServer((from, to) => this.#handle(from, to));
    this.#front.on("upgrade", (from: IncomingMessage, socket: Socket, head: Buffer) =>
      this.#upgrade(from, socket, head),
    );
    this.#front.listen(0, "127.0.0.1");
    await once(this.#front, "listening");
    this.url = `http://127.0.0.1:${(this.#front.address() as AddressInfo).port}/`;
    await this.#up();
  }

  async stop(): Promise<void> {
    const child = this.#process;
    child?.kill("SIGKILL");
    if (child && child.exitCode === null && child.signalCode === null) await once(child, "exit");
    for (const socket of this.#sockets) socket.destroy();
    this.#front?.closeAllConnections();
    this.#front?.close();
    rmSync(this.#data, { recursive: true, force: true });
  }

  async append(session: string, data: unknown): Promise<void> {
    await this.#api("POST", `sessions/${session}/entries`, { data });
  }

  /** A run that grows by a word at a time, until it is ended. */
  async stream(session: string): Promise<{ word(text: string): Promise<void>; end(): Promise<void> }> {
    const { run, fence } = (await this.#api("POST", `sessions/${session}/runs`, {})) as { run: number; fence: number };
    const path = `sessions/${session}/runs/${run}`;
    let after = 0;
    return {
      word: async (text) =>
        void (await this.#api("POST", `${path}/fragments`, { fence, after: after++, fragments: [{ text }] })),
      end: async () => void (await this.#api("POST", `${path}/end`, { fence, status: "complete" })),
    };
  }

  /** Who is there, as the backend sees it. */
  async members(session: string): Promise<readonly { readonly user: string; readonly away: boolean }[]> {
    const { members } = (await this.#api("GET", `sessions/${session}/members`)) as {
      members: { user: string; away: boolean }[];
    };
    return members;
  }

  /** A run as the server has it. */
  async run(session: string, offset: number): Promise<unknown> {
    return this.#api("GET", `sessions/${session}/runs/${offset}`);
  }

  async connections(user: string): Promise<readonly Connected[]> {
    const { connections } = (await this.#api("GET", `users/${user}/connections`)) as { connections: Connected[] };
    return connections;
  }

  /** Takes back what tokens allow. */
  async revoke(what: object): Promise<void> {
    await this.#api("POST", "revocations", what);
  }

  /** How many connections have ended, those of strangers included: each has its record. */
  async ended(): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${this.#metrics}/metrics`)).text();
    const counts = text.matchAll(/^holdfast_connection_ends_total\{.*\} (\d+)$/gm);
    return [...counts].reduce((sum, [, n]) => sum + Number(n), 0);
  }

  /** A token with claims of the test's own choosing, signed with the server's secret or with another one. */
  sign(claims: object, secret = readFileSync(this.#secret, "utf8").trim()): string {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
    return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
  }

  get #secret(): string {
    return `${this.#data}/secret`;
  }

  #run(...args: string[]): string {
    return execFileSync(this.#program, args, { encoding: "utf8" }).trim();
  }

  async #up(): Promise<void> {
    for (let tries = 0; tries < 200; tries++) {
      try {
        if ((await fetch(`http://127.0.0.1:${this.#port}/readyz`)).ok) return;
      } catch {
        // Not yet.
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error("the server does not come up");
  }

  async #api(method: string, path: string, body?: unknown): Promise<unknown> {
    const answer = await fetch(`http://127.0.0.1:${this.#port}/v1/${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#backend}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  #handle(from: IncomingMessage, to: ServerResponse): void {
    const { pathname, searchParams } = new URL(from.url ?? "/", this.url);
    if (pathname === "/app.js") return void to.setHeader("content-type", "text/javascript").end(this.#script);
    if (pathname === "/token") return void this.#token(searchParams, to);
    if (!pathname.startsWith("/v1/")) return void to.setHeader("content-type", "text/html").end(PAGE);
    this.requests.push(pathname.split("/").at(-1) ?? "");
    this.#pass(from, to);
  }

  async #token(query: URLSearchParams, to: ServerResponse): Promise<void> {
    const user = query.get("user") ?? "";
    if (this.desk) {
      const token = await this.desk(user);
      return void to.writeHead(token === undefined ? 401 : 200).end(token);
    }
    const rule = query.get("rule");
    const rights = ["--read", "*", "--send", "*", ...(rule ? ["--connections", rule] : [])];
    to.end(this.#run("token", "--secret-file", this.#secret, "--user", user, ...rights));
  }

  #pass(from: IncomingMessage, to: ServerResponse): void {
    const { method, url: path, headers } = from;
    const options = { host: "127.0.0.1", port: this.#port, method, path, headers };
    const onward = request(options, (answer) => {
      const held: Buffer[] = [];
      // A proxy that holds back keeps all of it until the end.
      const hold = this.answers === "hold";
      if (!hold) to.writeHead(answer.statusCode ?? 502, answer.headers).flushHeaders();
      answer.on("data", (chunk: Buffer) => (hold ? held.push(chunk) : to.write(chunk)));
      answer.on("end", () => {
        if (hold) to.writeHead(answer.statusCode ?? 502, answer.headers);
        to.end(hold ? Buffer.concat(held) : undefined);
      });
      answer.on("error", () => to.destroy());
    });
    onward.on("error", () => to.destroy());
    to.on("close", () => onward.destroy());
    from.pipe(onward);
  }

  #upgrade(from: IncomingMessage, socket: Socket, head: Buffer): void {
    this.#sockets.add(socket);
    this.dials++;
    socket.on("error", () => socket.destroy());
    if (this.sockets === "refuse") return void socket.end("HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n");
    if (this.sockets === "blackhole") return;
    const onward = connect(this.#port, "127.0.0.1", () => {
      const lines = [`${from.method} ${from.url} HTTP/1.1`];
      for (let i = 0; i < from.rawHeaders.length; i += 2)
        lines.push(`${from.rawHeaders[i]}: ${from.rawHeaders[i + 1]}`);
      onward.write(`${lines.join("\r\n")}\r\n\r\n`);
      onward.write(head);
      const counter = new FrameCounter(this.frames);
      onward.on("data", (chunk: Buffer) => counter.take(chunk));
      socket.pipe(onward).pipe(socket);
      this.#lines.push({ browser: socket, server: onward });
    });
    this.#sockets.add(onward);
    onward.on("error", () => socket.destroy());
    socket.on("close", () => onward.destroy());
    onward.on("close", () => socket.destroy());
  }
}

async function freePort(): Promise<number> {
  const listener = createListener().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  listener.close();
  await once(listener, "close");
  return port;
}
