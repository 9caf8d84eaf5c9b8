import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Fragment, pipeAnthropic, pipeOpenAI, ProviderError, type Target } from "../src/index.ts";

/** The Go package llm writes these files and is tested against them too. */
const folder = new URL("../../../../llm/testdata/", import.meta.url);

interface Golden {
  readonly dialect: "openai" | "anthropic";
  readonly body: { part?: string; text?: string; event?: unknown }[];
  readonly status: string;
  readonly end: unknown;
}

/** A run that notes what is written to it. */
export class Note implements Target {
  readonly over = new AbortController();
  readonly signal = this.over.signal;
  readonly body: { part?: string; text?: string; event?: unknown }[] = [];
  status = "";
  data: unknown;

  async write(fragments: readonly Fragment[]): Promise<void> {
    for (const { part = "", text, event } of fragments) {
      const last = this.body.at(-1);
      const named = part ? { part } : {};
      if (text === undefined) this.body.push({ ...named, event });
      else if (last?.text !== undefined && (last.part ?? "") === part) last.text += text;
      else this.body.push({ ...named, text });
    }
  }

  async flush(): Promise<void> {}

  async end(status: string, data?: unknown): Promise<void> {
    this.status = status;
    this.data = data;
  }
}

/** A body that comes in pieces of so many bytes. */
async function* pieces(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const framings: Record<string, (text: string) => AsyncIterable<Uint8Array> | Response> = {
  whole: (text) => new Response(text),
  bytes: (text) => pieces(text, 1),
  sevens: (text) => pieces(text, 7),
  CRLF: (text) => pieces(text.replaceAll("\n", "\r\n"), 1000),
  "CRLF bytes": (text) => pieces(text.replaceAll("\n", "\r\n"), 1),
  CR: (text) => pieces(text.replaceAll("\n", "\r"), 5),
  BOM: (text) => new Response(`\ufeff${text}`),
  "no space": (text) => new Response(text.replaceAll("data: {", "data:{")),
  comments: (text) => new Response(text.replaceAll("data: ", ":beat\nid: 7\nretry\ndata: ")),
  "several lines": (text) => new Response(text.replaceAll(',"', ',\ndata: "')),
};

const streams = readdirSync(folder).filter((name) => name.endsWith(".sse"));

describe.each(streams)("%s", (name) => {
  const text = readFileSync(new URL(name, folder), "utf8");
  const golden = JSON.parse(readFileSync(new URL(name.replace(".sse", ".json"), folder), "utf8")) as Golden;

  it.each(Object.keys(framings))("becomes the same run: %s", async (framing) => {
    const note = new Note();
    const pipe = golden.dialect === "openai" ? pipeOpenAI : pipeAnthropic;
    const piped = pipe(framings[framing]?.(text) ?? new Response(), note);
    if (golden.status === "failed") await expect(piped).rejects.toBeInstanceOf(ProviderError);
    else await piped;
    expect({ dialect: golden.dialect, body: note.body, status: note.status, end: note.data }).toEqual(golden);
  });
});

describe("a pipe", () => {
  it("gives up the provider when the run is over", async () => {
    const note = new Note();
    let cancelled: unknown;
    const body = new ReadableStream<Uint8Array>({
      start: (c) => c.enqueue(new TextEncoder().encode('data: {"choices":[{"delta":{"content":"half"}}]}\n\n')),
      cancel: (reason) => void (cancelled = reason ?? "yes"),
    });
    const piped = pipeOpenAI(new Response(body), note);
    while (!note.body.length) await Promise.resolve();
    note.over.abort(new Error("stopped"));
    await expect(piped).rejects.toThrow("stopped");
    await Promise.resolve();
    expect(cancelled).toBe("yes");
    expect(note).toMatchObject({ status: "", body: [{ text: "half" }] });
  });

  it.each([
    [401, "provider_refused"],
    [429, "provider_busy"],
    [529, "provider_busy"],
    [503, "provider_unavailable"],
  ])("fails the run for status %i, and does not tell readers what was said", async (status, code) => {
    const note = new Note();
    await expect(pipeAnthropic(new Response("key sk-secret", { status }), note)).rejects.toMatchObject({
      code,
      status,
    });
    expect(note.status).toBe("failed");
    expect(note.data).toMatchObject({ error: { code } });
    expect(JSON.stringify(note.data)).not.toContain("secret");
  });

  it("fails the run when the connection breaks off, and when an event does not end", async () => {
    const broken = new Note();
    const body = new ReadableStream({ start: (c) => c.error(new TypeError("terminated")) });
    await expect(pipeOpenAI(new Response(body), broken)).rejects.toMatchObject({ code: "provider_cut" });
    expect(broken.status).toBe("failed");

    const endless = new Note();
    async function* letters(): AsyncGenerator<Uint8Array> {
      const many = new TextEncoder().encode("data: ".padEnd(1 << 20, "x"));
      for (;;) yield many;
    }
    await expect(pipeOpenAI(letters(), endless)).rejects.toMatchObject({ code: "provider_invalid" });
    expect(endless.status).toBe("failed");
  });
});
