// The backend: it signs users in and answers what they send, until it is told that somebody wants it to stop. It holds no connections and no state, so it
// may be restarted at any time, and any number of them may run.
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { messagesOf, requestOf } from "@holdfast/ai-sdk";
import { ApiError, type FeedItem, pipeUIMessageStream, Producer, type Run } from "@holdfast/producer";
import { convertToModelMessages, jsonSchema, stepCountIs, streamText, tool } from "ai";

export interface BackendOptions {
  readonly port: number;
  /** Where Holdfast is, and the secret that it verifies tokens with. */
  readonly holdfast: string;
  readonly secret: string;
  readonly model: { readonly baseURL: string; readonly apiKey?: string; readonly name: string };
  /** What the page is made of, by path. */
  readonly files: Readonly<Record<string, { readonly type: string; readonly body: string }>>;
}

const tools = {
  weather: tool({
    description: "The weather in a city",
    inputSchema: jsonSchema<{ city: string }>({ type: "object", properties: { city: { type: "string" } } }),
    execute: async ({ city }) => ({ city, sky: "clear" }),
  }),
};

export class Backend {
  readonly #options: BackendOptions;
  readonly #producer: Producer;
  readonly #leaving = new AbortController();
  readonly #server = createServer((request, response) => {
    const { status = 200, type = "application/json", text = "" } = this.#serve(request.url ?? "/");
    response.writeHead(status, { "content-type": type }).end(text);
  });

  constructor(options: BackendOptions) {
    this.#options = options;
    const token = () => mint(options.secret, { hf: { backend: true } });
    this.#producer = new Producer({ url: options.holdfast, token });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(this.#options.port, "127.0.0.1", resolve));
    void this.#answerAll();
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  /** Leaves at once. Runs that are being written stay open; their leases lapse, or another backend takes them over. */
  stop(): void {
    this.#leaving.abort(new Error("the backend leaves"));
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #serve(url: string): { status?: number; type?: string; text?: string } {
    const { pathname } = new URL(url, "http://x");
    // In this example everybody is signed in. The session's name is the only secret, so never do that in earnest.
    if (pathname === "/token") {
      const chats = ["chat-*"];
      return {
        type: "text/plain",
        text: mint(this.#options.secret, { sub: "anna", hf: { read: chats, send: chats, stop: chats } }),
      };
    }
    const file = this.#options.files[pathname === "/" ? "/index.html" : pathname];
    return file ? { type: file.type, text: file.body } : { status: 404 };
  }

  /** Answers what users send. An item is done with once its run is open: from then on the run's lease watches over it. */
  async #answerAll(): Promise<void> {
    for await (const item of this.#producer.feed("ai-sdk-example", this.#leaving.signal)) {
      const run = await this.#open(item);
      await this.#producer.done("ai-sdk-example", item);
      this.#answer(item, run).catch((error: unknown) => {
        // A run that was stopped, or that another backend has, is none of this one's business any more.
        if (error !== run?.signal.reason) console.error("an answer failed:", String(error));
      });
    }
  }

  async #open({ session, entry }: FeedItem): Promise<Run | undefined> {
    if (!requestOf(entry.data)) return undefined;
    const id = `answer-${entry.offset}`;
    // Who presses Stop stops the answer to this message, whether it has begun or not.
    const answers = entry.offset;
    try {
      const run = await this.#producer.openRun(session, { id, answers, takeOver: true, signal: this.#leaving.signal });
      if (run.info.fragments === 0) return run;
      // One that has begun was begun by a backend that is gone, and the model would begin anew.
      await run.end("interrupted");
    } catch (error) {
      // It has ended, or its session is gone.
      if (!(error instanceof ApiError && /^(run_ended|not_found)$/.test(error.code))) throw error;
    }
    return undefined;
  }

  async #answer({ session, entry }: FeedItem, run: Run | undefined): Promise<void> {
    if (!run) return;
    const { model } = this.#options;
    const { baseURL, apiKey, name } = model;
    const provider = createOpenAICompatible({ name: "model", baseURL, ...(apiKey && { apiKey }) });
    // The session is the conversation.
    const messages = await messagesOf(await this.#producer.history(session, { before: entry.offset + 1 }));
    const result = streamText({
      model: provider(name),
      messages: await convertToModelMessages(messages, { tools }),
      tools,
      stopWhen: stepCountIs(3),
      // A Stop, or another producer, ends the model's work.
      abortSignal: run.signal,
    });
    const stream = result.toUIMessageStream({ originalMessages: messages, generateMessageId: () => run.info.id ?? "" });
    await pipeUIMessageStream(stream, run);
  }
}

/** A token as Holdfast takes it: a JWT with HS256, good for an hour. */
function mint(secret: string, claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ ...claims, exp })}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}
