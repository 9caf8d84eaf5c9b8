import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { join } from "node:path";
import { build } from "esbuild";
import { aliases } from "./parts.ts";
import type { PageConfig } from "./page/report.ts";
import { closed, listening } from "./peers/http.ts";
import { root, sleep } from "./tools.ts";

/** How the source of tokens behaves: what it answers, and after how many ms. */
export interface TokenDesk {
  status: number;
  delay: number;
  mint: () => string;
  /** When it was asked. */
  readonly asked: number[];
}

/** Serves the page of a client, at no distance; under the name localhost it is another site. */
export class Pages {
  readonly desk: TokenDesk = { status: 200, delay: 0, mint: () => "", asked: [] };
  readonly #http: Server;
  #port = 0;

  private constructor(script: string) {
    this.#http = createServer((request, response) => void this.#answer(script, request, response));
  }

  static async start(): Promise<Pages> {
    const pages = new Pages(await bundle());
    pages.#port = await listening(pages.#http);
    return pages;
  }

  url(config: PageConfig): string {
    return `http://127.0.0.1:${this.#port}/?config=${encodeURIComponent(JSON.stringify(config))}`;
  }

  /** A page of another site. */
  get elsewhere(): string {
    return `http://localhost:${this.#port}/elsewhere`;
  }

  async stop(): Promise<void> {
    await closed(this.#http);
  }

  async #answer(script: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? "/", "http://rig");
    const send = (type: string, text: string) => {
      response.setHeader("content-type", `${type}; charset=utf-8`);
      response.end(text);
    };
    switch (pathname) {
      case "/rig.js":
        return send("text/javascript", script);
      case "/token":
        this.desk.asked.push(Date.now());
        await sleep(this.desk.delay);
        response.statusCode = this.desk.status;
        return send("text/plain", this.desk.status === 200 ? this.desk.mint() : "");
      case "/elsewhere":
        return send("text/html", "<!doctype html><title>elsewhere</title>");
      default:
        return send("text/html", `<!doctype html><title>rig</title><script type="module" src="/rig.js"></script>`);
    }
  }
}

let bundled: Promise<string> | undefined;

/** The page's script, bundled once a run. */
function bundle(): Promise<string> {
  bundled ??= build({
    entryPoints: [join(root, "ts", "rig", "page", "main.ts")],
    alias: aliases(),
    bundle: true,
    format: "esm",
    target: "es2022",
    write: false,
    logLevel: "error",
  }).then(({ outputFiles }) => outputFiles[0]?.text ?? "");
  return bundled;
}
