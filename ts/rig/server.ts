import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend } from "./backend.ts";
import type { Message } from "./page/report.ts";
import { freePort, root, until } from "./tools.ts";

export interface HoldfastOptions {
  /** More flags of holdfast serve. */
  readonly flags?: readonly string[];
}

/** The real server, in a folder of its own that goes with it. */
export class Holdfast implements Backend {
  readonly path = "/v1/ws";
  readonly #folder = mkdtempSync(join(tmpdir(), "holdfast-rig-"));
  readonly #secret = randomBytes(32).toString("base64url");
  readonly #flags: readonly string[];
  #process: ChildProcess | undefined;
  #log = "";
  port = 0;

  private constructor(options: HoldfastOptions) {
    this.#flags = options.flags ?? [];
    writeFileSync(join(this.#folder, "secret"), this.#secret, { mode: 0o600 });
  }

  static async start(options: HoldfastOptions = {}): Promise<Holdfast> {
    const server = new Holdfast(options);
    server.port = await freePort();
    await server.up();
    return server;
  }

  async up(): Promise<void> {
    const flags = ["--addr", `127.0.0.1:${this.port}`, "--data", join(this.#folder, "data"), "--origins", "*"];
    const key = ["--jwt-secret-file", join(this.#folder, "secret"), "--log-level", "warn"];
    const child = spawn(program(), ["serve", ...flags, ...key, ...this.#flags], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#process = child;
    child.stderr.on("data", (text) => {
      this.#log += String(text);
    });
    await until(10_000, async () => {
      if (child.exitCode !== null) throw new Error(`the server ended: ${this.#log}`);
      const answer = await fetch(this.#url("/readyz")).catch(() => undefined);
      return answer?.ok ?? false;
    });
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** A token of a user, or without one of the backend; life is in seconds. */
  token(user?: string, life = 86_400): string {
    const all = ["*"];
    const hf = user ? { read: all, send: all, stop: all } : { backend: true };
    const exp = Math.floor(Date.now() / 1_000) + life;
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ ...(user && { sub: user }), exp, hf })}`;
    return `${signed}.${createHmac("sha256", this.#secret).update(signed).digest("base64url")}`;
  }

  async publish(session: string, messages: readonly Message[]): Promise<void> {
    for (let i = 0; i < messages.length; i += 100) {
      const entries = messages.slice(i, i + 100).map((data) => ({ data }));
      await this.api("POST", `/v1/sessions/${session}/entries`, { entries });
    }
  }

  /** How many connections the server has of a user. */
  async connections(user: string): Promise<number> {
    const answer = (await this.api("GET", `/v1/users/${user}/connections`)) as { connections: unknown[] };
    return answer.connections.length;
  }

  /** The offset of a session's last entry. */
  async head(session: string): Promise<number> {
    return ((await this.api("GET", `/v1/sessions/${session}`)) as { head: number }).head;
  }

  /** All messages of a session from its beginning. */
  async log(session: string): Promise<readonly LogEntry[]> {
    const all: LogEntry[] = [];
    for (;;) {
      const after = all.at(-1)?.offset ?? 0;
      const page = (await this.api("GET", `/v1/sessions/${session}/entries?after=${after}&limit=200`)) as {
        entries: LogEntry[];
        more?: boolean;
      };
      all.push(...page.entries);
      if (!page.more || page.entries.length === 0) return all;
    }
  }

  async api(method: string, path: string, body?: unknown): Promise<unknown> {
    const answer = await fetch(this.#url(path), {
      method,
      headers: { authorization: `Bearer ${this.token()}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  #url(path: string): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }
}

export interface LogEntry {
  readonly offset: number;
  readonly id?: string;
  readonly client?: string;
  readonly data: unknown;
}

let built: string | undefined;

/** The program, built once a run. HOLDFAST_TEST_BIN names one that is built already. */
export function program(): string {
  if (built) return built;
  const given = process.env["HOLDFAST_TEST_BIN"];
  if (given && existsSync(given)) return (built = given);
  const out = join(root, "ts", "tmp", "holdfast-rig");
  execFileSync("go", ["build", "-o", out, "./cmd/holdfast"], { cwd: root, stdio: "inherit" });
  return (built = out);
}
