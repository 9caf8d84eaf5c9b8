/** A refusal of Holdfast's HTTP API (RFC 9457), or no answer at all: then `code` is "unavailable" and `status` 0. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** From the closed set of the protocol's error codes, such as fenced, run_ended, gap, not_found, too_large. */
  readonly code: string;
  readonly status: number;
  /** How the run stands, where the refusal is about one. */
  readonly run: RunInfo | undefined;
  /** When to try again, in ms, if the server says. */
  readonly after: number | undefined;

  constructor(code: string, status: number, message: string, more: { run?: RunInfo; after?: number } = {}) {
    super(message);
    this.code = code;
    this.status = status;
    this.run = more.run;
    this.after = more.after;
  }

  /** Whether the same request may succeed later. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** A run without its contents, as the API tells of it. */
export interface RunInfo {
  readonly run: number;
  readonly id?: string;
  readonly status: RunStatus;
  readonly fence: number;
  readonly fragments: number;
  /** The offset of the message that it answers, if it names one, and how it stands with a stop, if there is one. */
  readonly answers?: number;
  readonly stop?: { readonly id: string; readonly state: "requested" | "stopped" | "too_late" | "unreachable" };
}

export type RunStatus = "open" | "complete" | "stopped" | "failed" | "interrupted";

/** What went wrong with a language model's provider. It is the code of a failed run's error. */
export type ProviderCode =
  /** The provider does not accept the request. */
  | "provider_refused"
  /** It has too much to do, or the caller has used up what it may. */
  | "provider_busy"
  /** It cannot be reached, or does not work. */
  | "provider_unavailable"
  /** The answer broke off. */
  | "provider_cut"
  /** The stream is not what it should be. */
  | "provider_invalid";

/** What people may be told. What a provider itself says may hold names of accounts and parts of keys. */
const REASONS: Readonly<Record<ProviderCode, string>> = {
  provider_refused: "The model's provider did not accept the request.",
  provider_busy: "The model's provider is busy. Try again later.",
  provider_unavailable: "The model's provider is not available. Try again later.",
  provider_cut: "The model's answer broke off.",
  provider_invalid: "The model's provider sent something that cannot be read.",
};

/** What a provider failed with. Its message may hold what the provider said: it is for logs; `reason` is for people. */
export class ProviderError extends Error {
  override readonly name = "ProviderError";
  readonly code: ProviderCode;
  /** That of the provider's answer; 0 where it was not the matter. */
  readonly status: number;
  readonly reason: string;

  constructor(code: ProviderCode, said: string, options: { status?: number; cause?: unknown } = {}) {
    super(`${code}: ${said.slice(0, 2000)}`, { cause: options.cause });
    this.code = code;
    this.status = options.status ?? 0;
    this.reason = REASONS[code];
  }

  /** The error for an answer with a status other than 200. */
  static ofStatus(status: number, said: string): ProviderError {
    // 529: overloaded, of Anthropic.
    if (status === 429 || status === 529) return new ProviderError("provider_busy", said, { status });
    const code = status >= 500 || status === 408 ? "provider_unavailable" : "provider_refused";
    return new ProviderError(code, said, { status });
  }

  /** The error that a provider tells of in its stream, with the words that it has for it. */
  static ofEvent(kind: string, said: string): ProviderError {
    return new ProviderError(KINDS[kind] ?? "provider_unavailable", `${kind}: ${said}`);
  }
}

const KINDS: Readonly<Record<string, ProviderCode>> = {
  rate_limit_error: "provider_busy",
  rate_limit_exceeded: "provider_busy",
  overloaded_error: "provider_busy",
  insufficient_quota: "provider_busy",
  invalid_request_error: "provider_refused",
  authentication_error: "provider_refused",
  permission_error: "provider_refused",
  not_found_error: "provider_refused",
  invalid_prompt: "provider_refused",
};
