import { readdirSync, readFileSync } from "node:fs";
import type { RunEntry } from "@holdfast/client";
import { readUIMessageStream, uiMessageChunkSchema, type UIMessage, type UIMessageChunk } from "ai";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Fragment, UIEncoder } from "../../producer/src/index.ts";
import { messagesOf, RunDecoder } from "../src/index.ts";
import { grow } from "./sessions.ts";

const run = (over: Partial<RunEntry>): RunEntry =>
  ({
    kind: "run",
    offset: 3,
    id: "answer-1",
    data: undefined,
    status: "open",
    body: [],
    end: undefined,
    ...over,
  }) as RunEntry;

/** The message that useChat would make of the chunks, and what it would complain of. */
async function message(
  chunks: readonly UIMessageChunk[],
): Promise<{ message: UIMessage | undefined; errors: string[] }> {
  const errors: string[] = [];
  const stream = new ReadableStream<UIMessageChunk>({
    start: (c) => {
      for (const chunk of chunks) c.enqueue(structuredClone(chunk));
      c.close();
    },
  });
  let last: UIMessage | undefined;
  for await (const m of readUIMessageStream({ stream, onError: (e) => errors.push(String(e)) })) last = m;
  return { message: last, errors };
}

/** Decodes a run that grows by so many fragments at a time. */
function decode(fragments: readonly Fragment[], steps: readonly number[], end: Partial<RunEntry>): UIMessageChunk[] {
  const decoder = new RunDecoder();
  const out: UIMessageChunk[] = [];
  let body: RunEntry["body"] = [];
  let at = 0;
  for (const n of steps) {
    body = grow(body, fragments.slice(at, at + n));
    at += n;
    out.push(...(decoder.read(run({ body })) ?? []));
  }
  body = grow(body, fragments.slice(at));
  out.push(...(decoder.read(run({ body, ...end })) ?? []));
  expect(decoder.ended).toBe(true);
  return out;
}

async function valid(chunks: readonly UIMessageChunk[]): Promise<void> {
  const schema = uiMessageChunkSchema();
  for (const chunk of chunks) {
    const checked = await schema.validate?.(chunk);
    expect(checked, JSON.stringify(chunk)).toMatchObject({ success: true });
  }
}

const story: UIMessageChunk[] = [
  { type: "start", messageId: "msg-1", messageMetadata: { model: "m" } },
  { type: "start-step" },
  { type: "reasoning-start", id: "r" },
  { type: "reasoning-delta", id: "r", delta: "Let me " },
  { type: "reasoning-delta", id: "r", delta: "think." },
  { type: "reasoning-end", id: "r", providerMetadata: { a: { signature: "s" } } },
  { type: "text-start", id: "0" },
  { type: "text-delta", id: "0", delta: "Look" },
  { type: "text-delta", id: "0", delta: "ing, 👩‍🚀" },
  { type: "text-start", id: "1" },
  { type: "text-delta", id: "1", delta: "meanwhile" },
  { type: "text-delta", id: "0", delta: "…", providerMetadata: { a: { x: 1 } } },
  { type: "text-end", id: "0" },
  { type: "text-delta", id: "1", delta: " more" },
  { type: "text-end", id: "1" },
  { type: "tool-input-start", toolCallId: "t1", toolName: "weather" },
  { type: "tool-input-delta", toolCallId: "t1", inputTextDelta: '{"city": ' },
  { type: "tool-input-delta", toolCallId: "t1", inputTextDelta: '"Paris"}' },
  { type: "tool-input-available", toolCallId: "t1", toolName: "weather", input: { city: "Paris" } },
  { type: "tool-output-available", toolCallId: "t1", output: { sun: "x".repeat(40_000) } },
  { type: "tool-input-start", toolCallId: "t2", toolName: "sql", inputEncoding: "text", dynamic: true },
  { type: "tool-input-delta", toolCallId: "t2", inputTextDelta: "select 1" },
  { type: "tool-input-available", toolCallId: "t2", toolName: "sql", input: "select 1", dynamic: true },
  { type: "tool-output-error", toolCallId: "t2", errorText: "no table" },
  { type: "finish-step" },
  { type: "start-step" },
  { type: "source-url", sourceId: "s", url: "https://example.com", title: "E" },
  { type: "file", url: `data:image/png;base64,${"A".repeat(100_000)}`, mediaType: "image/png" },
  { type: "data-chart", id: "c", data: { v: 1 } },
  { type: "data-chart", id: "c", data: { v: 2 } },
  { type: "text-start", id: "0" },
  { type: "text-delta", id: "0", delta: "Sunny." },
  { type: "text-end", id: "0" },
  { type: "finish-step" },
  { type: "finish", finishReason: "stop", messageMetadata: { tokens: 3 } },
];

const fragmentsOf = (chunks: readonly UIMessageChunk[]) => {
  const encoder = new UIEncoder();
  return chunks.flatMap((chunk) => encoder.encode(chunk));
};

describe("a UI message stream", () => {
  it("comes out as it went in, in one piece or many", async () => {
    const want = await message(story);
    expect(want.errors).toEqual([]);
    for (const steps of [[], [1, 1, 1], Array<number>(100).fill(1), [7, 7, 7]]) {
      const chunks = decode(fragmentsOf(story), steps, { status: "complete" });
      await valid(chunks);
      expect(await message(chunks)).toEqual(want);
    }
  });

  it("can be read without knowing of the AI SDK", () => {
    const body = grow([], fragmentsOf(story));
    const text = (part: string) => body.map((s) => (s.part === part ? (s.text ?? "") : "")).join("");
    expect(text("")).toBe("Looking, 👩‍🚀Sunny.");
    expect(text("reasoning")).toBe("Let me think.");
    expect(text("tool:t1")).toBe('{"city": "Paris"}');
  });

  it("has no fragment that a server would refuse", () => {
    for (const { part = "", text, event } of fragmentsOf(story)) {
      expect(part.length).toBeLessThan(256);
      expect(text === undefined ? JSON.stringify(event).length : 0).toBeLessThan(60_000);
    }
  });

  it("comes out as it went in, whatever it is and however it grows", async () => {
    const id = fc.constantFrom("a", "b", "é", "x".repeat(300), "ui");
    const delta = fc.oneof(fc.string(), fc.constantFrom("", "日本", "\ud800", "👩‍🚀"));
    const block = fc.oneof(
      fc.record({ kind: fc.constantFrom("text", "reasoning"), id, deltas: fc.array(delta, { maxLength: 4 }) }),
      fc.record({
        kind: fc.constant("tool"),
        id,
        deltas: fc.array(fc.constantFrom('{"a":', "1}", "x"), { maxLength: 3 }),
      }),
      fc.record({ kind: fc.constant("data"), id, deltas: fc.array(delta, { maxLength: 2 }) }),
    );
    const steps = fc.array(fc.nat({ max: 5 }), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(block, { maxLength: 3 }), { maxLength: 4 }), steps, async (groups, steps) => {
        const chunks: UIMessageChunk[] = [{ type: "start", messageId: "m" }, ...groups.flatMap(interleaved)];
        chunks.push({ type: "finish" });
        const want = await message(chunks.map(asSent));
        expect(await message(decode(fragmentsOf(chunks), steps, { status: "complete" }))).toEqual(want);
      }),
      { numRuns: 150 },
    );
  });
});

interface Block {
  readonly kind: string;
  readonly id: string;
  readonly deltas: readonly string[];
}

/** Blocks that are open at the same time, with their deltas taking turns. */
function interleaved(blocks: readonly Block[]): UIMessageChunk[] {
  const open = blocks.filter((b, i) => blocks.findIndex((o) => o.kind === b.kind && o.id === b.id) === i);
  const out: object[] = [];
  for (const { kind, id } of open) {
    if (kind === "tool") out.push({ type: "tool-input-start", toolCallId: id, toolName: "t" });
    else if (kind !== "data") out.push({ type: `${kind}-start`, id });
  }
  for (let n = 0; n < 4; n++) {
    for (const { kind, id, deltas } of open) {
      const delta = deltas[n];
      if (delta === undefined) continue;
      if (kind === "tool") out.push({ type: "tool-input-delta", toolCallId: id, inputTextDelta: delta });
      else if (kind === "data") out.push({ type: "data-x", id, data: { delta } });
      else out.push({ type: `${kind}-delta`, id, delta });
    }
  }
  for (const { kind, id, deltas } of open) {
    const text = deltas.join("");
    const input = text === '{"a":1}' ? { a: 1 } : text;
    if (kind === "tool") out.push({ type: "tool-input-available", toolCallId: id, toolName: "t", input });
    else if (kind !== "data") out.push({ type: `${kind}-end`, id });
  }
  return out as UIMessageChunk[];
}

/** A chunk as any transport would bring it: through JSON and UTF-8. */
function asSent(chunk: UIMessageChunk): UIMessageChunk {
  return JSON.parse(JSON.stringify(chunk)) as UIMessageChunk;
}

describe("an answer that was piped from a provider", () => {
  const folder = new URL("../../../../llm/testdata/", import.meta.url);
  const files = readdirSync(folder).filter((name) => name.endsWith(".json"));

  it.each(files)("%s is a message", async (name) => {
    const { body, status, end } = JSON.parse(readFileSync(new URL(name, folder), "utf8"));
    const fragments = body.map((s: Fragment) => ({ part: "", ...s })) as Fragment[];
    const chunks = decode(fragments, [1, 1, 1], { status, end });
    await valid(chunks);
    const { message: m, errors } = await message(chunks);
    expect(errors).toHaveLength(status === "failed" ? 1 : 0);
    const text = fragments.map((f) => (f.part === "" || f.part === "refusal" ? (f.text ?? "") : "")).join("");
    expect(m?.parts.map((p) => (p.type === "text" ? p.text : "")).join("")).toBe(text);
    expect(m?.id).toBe("answer-1");
  });

  it("has its tools with their inputs and outputs", async () => {
    const { body, status, end } = JSON.parse(readFileSync(new URL("anthropic.json", folder), "utf8"));
    const [m] = await messagesOf([
      run({
        body: grow(
          [],
          body.map((s: object) => ({ part: "", ...s })),
        ),
        status,
        end,
      }),
    ]);
    expect(m?.parts.map((p) => p.type)).toEqual(["reasoning", "tool-web_search", "text", "source-url", "tool-note"]);
    expect(m?.parts[0]).toMatchObject({ providerMetadata: { anthropic: { signature: "c2ln" } } });
    expect(m?.parts[1]).toMatchObject({
      state: "output-available",
      input: { query: "sunrise" },
      output: [{ url: "https://example.com/c" }],
      providerExecuted: true,
    });
    expect(m?.parts[4]).toMatchObject({ state: "input-available", input: { a: 1 } });
  });
});

describe("the end of a run", () => {
  const half: UIMessageChunk[] = story.slice(0, 8);
  it.each([
    ["stopped", { type: "abort" }],
    ["interrupted", { type: "error", errorText: "The answer was interrupted: whoever wrote it is gone." }],
    ["failed", { type: "error", errorText: "sorry" }],
  ] as const)("as %s closes what is open and says so", async (status, last) => {
    const chunks = decode(fragmentsOf(half), [3], { status, end: { error: { message: "sorry" } } });
    await valid(chunks);
    expect(chunks.slice(-2)).toEqual([{ type: "text-end", id: "0" }, last]);
  });

  it("is not told twice", () => {
    const chunks = decode(fragmentsOf([...half, { type: "abort" }]), [2], { status: "stopped" });
    expect(chunks.filter(({ type }) => type === "abort")).toHaveLength(1);
  });

  it("is there for a run of nothing but text, and of nothing at all", async () => {
    const text = decode([{ part: "", text: "hi" }], [], { status: "complete", end: { finish: "length" } });
    expect(text).toEqual([
      { type: "start", messageId: "answer-1" },
      { type: "text-start", id: "text-1" },
      { type: "text-delta", id: "text-1", delta: "hi" },
      { type: "text-end", id: "text-1" },
      { type: "finish", finishReason: "length" },
    ]);
    expect(decode([], [], { status: "complete" })).toEqual([
      { type: "start", messageId: "answer-1" },
      { type: "finish" },
    ]);
  });
});
