import type { Fragment, RunInfo } from "../src/index.ts";

/** What may happen to a request: lost on the way there or on the way back, or answered with a status. */
export type Fault = "lost" | "answer lost" | { readonly status: number; readonly code: string };

/** The API's rules for one run, as docs/protocol.md and the OpenAPI document have them, without a network. */
export class FakeApi {
  readonly requests: { path: string; body: { after?: number; fragments?: Fragment[] } & Record<string, unknown> }[] =
    [];
  fragments: Fragment[] = [];
  info: RunInfo = { run: 7, status: "open", fence: 1, fragments: 0 };
  end: unknown;
  /** Taken one for each request. */
  faults: (Fault | undefined)[] = [];
  /** If set, requests wait for it. */
  gate: Promise<void> | undefined;
  under = 0;
  mostUnder = 0;
  largest = 65_536;

  readonly fetch: typeof fetch = async (input, init) => {
    const path = new URL(String(input)).pathname;
    const body = init?.body ? (JSON.parse(String(init.body)) as FakeApi["requests"][number]["body"]) : {};
    this.requests.push({ path, body });
    this.under++;
    this.mostUnder = Math.max(this.mostUnder, this.under);
    try {
      const signal = init?.signal;
      await (this.gate &&
        Promise.race([this.gate, new Promise((_, no) => signal?.addEventListener("abort", () => no(signal.reason)))]));
      signal?.throwIfAborted();
      const fault = this.faults.shift();
      if (fault === "lost") throw new TypeError("fetch failed");
      if (typeof fault === "object") return refusal(fault.status, fault.code);
      const answer = this.#answer(path, body);
      if (fault === "answer lost") throw new TypeError("fetch failed");
      return answer;
    } finally {
      this.under--;
    }
  };

  #answer(path: string, body: FakeApi["requests"][number]["body"]): Response {
    if (path.endsWith("/runs")) return Response.json({ ...this.info, fragments: this.fragments.length });
    const run = { ...this.info, fragments: this.fragments.length };
    if (body["fence"] !== this.info.fence) return refusal(409, "fenced", run);
    if (path.endsWith("/end")) {
      if (run.status !== "open" && run.status !== body["status"]) return refusal(409, "run_ended", run);
      this.info = { ...run, status: body["status"] as RunInfo["status"] };
      this.end = body["data"];
      return Response.json(this.info);
    }
    if (run.status !== "open") return refusal(409, "run_ended", run);
    const { after = this.fragments.length, fragments = [] } = body;
    if (after > this.fragments.length) return refusal(409, "gap", run);
    if (fragments.some((f) => JSON.stringify(f).length > this.largest)) return refusal(413, "too_large");
    this.fragments.push(...fragments.slice(this.fragments.length - after));
    return Response.json({ fragments: this.fragments.length, repeated: 0 });
  }

  /** What readers have of a part. */
  text(part = ""): string {
    return this.fragments.map((f) => (f.part === part ? (f.text ?? "") : "")).join("");
  }
}

function refusal(status: number, code: string, run?: RunInfo): Response {
  return Response.json({ status, code, detail: code, ...(run && { run }) }, { status });
}
