import { ApiError, type RunInfo } from "./errors.ts";

export interface ApiOptions {
  /** Where the server is, such as http://127.0.0.1:8080. */
  readonly url: string;
  /** A backend's token, or a function that gets one; it is asked again after one was refused. */
  readonly token: string | (() => string | Promise<string>);
  readonly fetch?: typeof fetch;
  /** How long one request may take, in ms. Default 30 s. */
  readonly timeout?: number;
}

interface Ask {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
  /** Ask for a stream of lines; such a request has no timeout. */
  readonly lines?: boolean;
}

/** The first pause before a repeat and the longest, in ms. */
const PAUSE = 200;
const LONGEST_PAUSE = 5_000;

/** Requests of the HTTP API: with the token, with problems as errors, and repeated where that may help. */
export class Api {
  readonly #url: string;
  readonly #source: ApiOptions["token"];
  readonly #fetch: typeof fetch;
  readonly #timeout: number;
  #token: string | undefined;

  constructor(options: ApiOptions) {
    this.#url = options.url.replace(/\/+$/, "");
    this.#source = options.token;
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
    this.#timeout = options.timeout ?? 30_000;
  }

  /** Asks until there is an answer that repeating would not change. Only for what may be repeated. */
  async persist<T>(ask: Ask): Promise<T> {
    for (let n = 0; ; n++) {
      try {
        return await this.once<T>(ask);
      } catch (error) {
        ask.signal?.throwIfAborted();
        if (!(error instanceof ApiError) || !error.passing) throw error;
        const pause = Math.min(PAUSE * 2 ** n, LONGEST_PAUSE);
        // Some of it is random, so that producers that lost one server do not all come back together.
        const { after } = error;
        await sleep(
          after === undefined ? pause * (0.5 + Math.random() / 2) : after * (1 + Math.random() / 4),
          ask.signal,
        );
      }
    }
  }

  async once<T>(ask: Ask): Promise<T> {
    const response = await this.open(ask);
    try {
      return (await response.json()) as T;
    } catch (cause) {
      throw unreachable(cause);
    }
  }

  /** Makes one request, and another one where the token had expired. */
  async open(ask: Ask): Promise<Response> {
    const kept = this.#token !== undefined;
    const response = await this.#send(ask);
    if (response.status === 401) this.#token = undefined;
    if (response.status === 401 && kept && typeof this.#source === "function") {
      await response.body?.cancel();
      return this.#checked(await this.#send(ask));
    }
    return this.#checked(response);
  }

  async #send(ask: Ask): Promise<Response> {
    this.#token ??= typeof this.#source === "function" ? await this.#source() : this.#source;
    const headers: Record<string, string> = { authorization: `Bearer ${this.#token}` };
    if (ask.body !== undefined) headers["content-type"] = "application/json";
    if (ask.lines) headers["accept"] = "application/x-ndjson";
    const ends = [ask.signal, ask.lines ? undefined : AbortSignal.timeout(this.#timeout)].filter(
      (s) => s !== undefined,
    );
    try {
      return await this.#fetch(this.#url + ask.path, {
        method: ask.method,
        headers,
        ...(ask.body !== undefined && { body: JSON.stringify(ask.body) }),
        signal: AbortSignal.any(ends),
      });
    } catch (cause) {
      ask.signal?.throwIfAborted();
      throw unreachable(cause);
    }
  }

  async #checked(response: Response): Promise<Response> {
    if (response.ok) return response;
    const said = (await response.json().catch(() => ({}))) as { code?: string; detail?: string; run?: RunInfo };
    const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
    throw new ApiError(
      said.code ?? "internal",
      response.status,
      said.detail ?? `the server answered ${response.status}`,
      {
        ...(said.run && { run: said.run }),
        ...(Number.isFinite(seconds) && { after: seconds * 1000 }),
      },
    );
  }
}

function unreachable(cause: unknown): ApiError {
  const error = new ApiError("unavailable", 0, "the server cannot be reached");
  error.cause = cause;
  return error;
}

/** Waits; rejects with the signal's reason if that comes first. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
    const abort = () => {
      done();
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      done();
      resolve();
    }, ms);
    signal?.addEventListener("abort", abort);
  });
}
