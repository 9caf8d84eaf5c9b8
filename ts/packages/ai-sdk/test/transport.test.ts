import { Chat } from "@ai-sdk/react";
import { HoldfastError, queueOf } from "@holdfast/client";
import type { UIMessage, UIMessageChunk } from "ai";
import { beforeEach, describe, expect, it } from "vitest";
import { HoldfastChatTransport, messagesOf, type StopRequest } from "../src/index.ts";
import { fakeClient, type FakeSession, rest } from "./sessions.ts";

let session: FakeSession;
let transport: HoldfastChatTransport;
let stops: StopRequest[];

beforeEach(() => {
  const fake = fakeClient();
  session = fake.session;
  stops = [];
  transport = new HoldfastChatTransport({ client: fake.client, onStop: async (stop) => void stops.push(stop) });
});

const open = (id = "chat-1") => new Chat({ id, transport });

/** What a chat shows, in short. */
function shown(chat: Chat<UIMessage>): string[] {
  return chat.messages.map(({ role, parts }) => {
    const texts = parts.map((p) => (p.type === "text" ? p.text : `<${p.type}>`));
    return `${role}: ${texts.join("")}`;
  });
}

const asked = (text: string, id = `u-${text}`) => ({
  type: "message",
  message: { id, role: "user", parts: [{ type: "text", text }] },
});

describe("a message", () => {
  it("is answered by the run that says so", async () => {
    const chat = open();
    void chat.sendMessage({ text: "hi" });
    await rest();
    expect(chat.status).toBe("submitted");
    expect(session.entries[0]?.data).toMatchObject({
      type: "message",
      message: { role: "user", parts: [{ text: "hi" }] },
    });
    session.run("other", { answers: 99 }).say("not this");
    const run = session.run("a1", { answers: 1 }).say("Hel");
    await rest();
    expect(chat.status).toBe("streaming");
    run.say("lo").end("complete", { finish: "stop" });
    await rest();
    expect(chat.status).toBe("ready");
    expect(shown(chat)).toEqual(["user: hi", "assistant: Hello"]);
    expect(chat.lastMessage?.id).toBe("a1");
  });

  it("is sent once, however often it is handed over", async () => {
    session.online = false;
    const message = asked("hi").message as UIMessage;
    const send = () => {
      const controller = new AbortController();
      const messages = [message];
      const options = { chatId: "chat-1", messageId: undefined, messages, abortSignal: controller.signal };
      const sent = transport.sendMessages({ ...options, trigger: "submit-message" });
      sent.catch(() => {});
      return { controller, sent };
    };
    const first = send();
    first.controller.abort();
    await expect(first.sent).rejects.toMatchObject({ name: "AbortError" });
    expect(session.outbox).toHaveLength(1);
    const second = send();
    expect(session.outbox).toHaveLength(1);
    session.deliver();
    await second.sent;
    await send().sent;
    expect(session.entries).toHaveLength(1);
  });

  it("that has to wait for its turn is answered when it has had it, or is an error when it is withdrawn", async () => {
    session.busy = true;
    const chat = open();
    void chat.sendMessage({ text: "hi" });
    await rest();
    const [waits] = queueOf(session.snapshot).waiting;
    expect([chat.status, waits?.data]).toMatchObject(["submitted", { message: { parts: [{ text: "hi" }] } }]);
    session.queue();
    session.run("a1", undefined, session.write(waits?.data, waits?.id)).say("Hello").end();
    await rest();
    expect([chat.status, ...shown(chat)]).toEqual(["ready", "user: hi", "assistant: Hello"]);

    void chat.sendMessage({ text: "and?" });
    await rest();
    session.queue();
    await rest();
    expect([chat.status, (chat.error as HoldfastError).code]).toEqual(["error", "withdrawn"]);
  });

  it("that the server refuses is an error", async () => {
    session.status = "denied";
    session.error = new HoldfastError("forbidden", "not yours");
    const chat = open();
    await chat.sendMessage({ text: "hi" });
    expect(chat.status).toBe("error");
    expect(chat.error).toBe(session.error);
  });
});

describe("an aborted stream", () => {
  it("is not a stop: nobody is told, and the answer goes on", async () => {
    const chat = open();
    void chat.sendMessage({ text: "hi" });
    await rest();
    const run = session.run("a1", { answers: 1 }).say("Hel");
    await rest();
    await chat.stop();
    expect(chat.status).toBe("ready");
    expect(stops).toEqual([]);
    expect(run.entry.status).toBe("open");
    run.say("lo");
    const later = open();
    void later.resumeStream();
    await rest();
    run.say("!").end();
    await rest();
    expect(shown(later)).toEqual(["assistant: Hello!"]);
  });
});

describe("reconnecting", () => {
  it("gives null once it is known that nothing is open, and waits until then", async () => {
    session.status = "pending";
    let answer: unknown = "nothing yet";
    void transport.reconnectToStream({ chatId: "chat-1" }).then((a) => (answer = a));
    await rest();
    expect(answer).toBe("nothing yet");
    session.run("done").say("x").end();
    session.status = "live";
    session.changed();
    await rest();
    expect(answer).toBeNull();
  });

  it("makes anew what the chat holds, and repeats nothing", async () => {
    const chat = open();
    const run = session.run("a1").say("one ");
    void chat.resumeStream();
    await rest();
    await chat.stop();
    run.say("two ");
    void chat.resumeStream();
    await rest();
    void chat.resumeStream();
    await rest();
    run.say("three").end();
    await rest();
    expect(shown(chat)).toEqual(["assistant: one two three"]);
    expect(chat.status).toBe("ready");
  });

  it("gives what is there in one piece, and a slow reader fewer pieces", async () => {
    const run = session.run("a1");
    for (let n = 0; n < 100; n++) run.say(`${n} `);
    const stream = await transport.reconnectToStream({ chatId: "chat-1" });
    const reader = stream?.getReader();
    const chunks: (UIMessageChunk | undefined)[] = [];
    const read = async () => chunks.push((await reader?.read())?.value);
    for (let n = 0; n < 3; n++) await read();
    expect(chunks.map((c) => c?.type)).toEqual(["start", "text-start", "text-delta"]);
    for (let n = 0; n < 100; n++) {
      run.say("more ");
      await rest();
    }
    run.end();
    await rest();
    const before = chunks.length;
    while (chunks.at(-1)) await read();
    expect(chunks.length - before).toBeLessThan(6);
    const text = chunks.map((c) => (c?.type === "text-delta" ? c.delta : "")).join("");
    expect(text).toBe(run.entry.body[0]?.text);
  });

  it("goes on with a message that began in an earlier run", async () => {
    session.write(asked("weather?"));
    const tool: UIMessageChunk[] = [
      { type: "start", messageId: "msg-1" },
      { type: "start-step" },
      { type: "text-start", id: "0" },
      { type: "text-delta", id: "0", delta: "Where are you?" },
      { type: "text-end", id: "0" },
      { type: "tool-input-available", toolCallId: "t", toolName: "place", input: {} },
      { type: "finish-step" },
      { type: "finish" },
    ];
    session
      .run("a1", { answers: 1 })
      .chunks(...tool)
      .end();
    const [, first] = await messagesOf(session.entries);
    const message = structuredClone(first) as UIMessage;
    Object.assign(message.parts[2] as object, { state: "output-available", output: "Paris" });
    session.write({ type: "message", message });
    const run = session.run("a2", { answers: 3 });
    run.chunks({ type: "start", messageId: "msg-1" }, { type: "start-step" }, { type: "text-start", id: "0" });
    run.chunks({ type: "text-delta", id: "0", delta: "Sunny " });
    const chat = open();
    transport.follow(chat);
    await rest();
    run
      .chunks({ type: "text-delta", id: "0", delta: "in Paris." }, { type: "text-end", id: "0" }, { type: "finish" })
      .end();
    await rest();
    expect(shown(chat)).toEqual([
      "user: weather?",
      "assistant: <step-start>Where are you?<tool-place><step-start>Sunny in Paris.",
    ]);
    const [, all] = await messagesOf(session.entries);
    expect(JSON.parse(JSON.stringify(chat.lastMessage))).toEqual(JSON.parse(JSON.stringify(all)));
  });

  it("is an error where the session is gone", async () => {
    const chat = open();
    session.run("a1").say("x");
    void chat.resumeStream();
    await rest();
    session.entries = [];
    session.status = "catching-up";
    session.changed();
    await rest();
    expect(chat.status).toBe("streaming");
    session.status = "live";
    session.changed();
    await rest();
    expect(chat.status).toBe("error");
  });
});

describe("following", () => {
  it("shows history, other tabs' messages, and runs that nobody here asked for", async () => {
    session.write(asked("before"));
    session.run("a0", { answers: 1 }).say("earlier").end();
    const one = open();
    const two = open();
    transport.follow(one);
    transport.follow(two);
    await rest();
    expect(shown(two)).toEqual(["user: before", "assistant: earlier"]);
    void one.sendMessage({ text: "hi" });
    await rest();
    expect(shown(two).at(-1)).toBe("user: hi");
    const run = session.run("a1", { answers: 3 }).say("Hel");
    await rest();
    expect(two.status).toBe("streaming");
    expect(shown(two)).toEqual(["user: before", "assistant: earlier", "user: hi", "assistant: Hel"]);
    run.say("lo").end();
    await rest();
    session.run("alert").say("By the way").end();
    const late = session.run("alert-2").say("and");
    await rest();
    late.say(" so on").end();
    await rest();
    const all = ["user: before", "assistant: earlier", "user: hi", "assistant: Hello"];
    for (const chat of [one, two]) {
      expect(shown(chat)).toEqual([...all, "assistant: By the way", "assistant: and so on"]);
      expect(chat.status).toBe("ready");
      expect(chat.messages).toEqual(one.messages);
    }
  });

  it("keeps what the page alone has: older messages, a message under way, a tool's output", async () => {
    const old: UIMessage = { id: "old", role: "user", parts: [{ type: "text", text: "old" }] };
    const chat = new Chat({ id: "chat-1", transport, messages: [old] });
    transport.follow(chat);
    session
      .run("a1")
      .append({ part: "tool:t", event: { type: "tool-call", id: "t", name: "place" } })
      .append({
        part: "tool:t",
        event: { type: "tool-ready", id: "t" },
      })
      .end();
    await rest();
    await chat.addToolOutput({ tool: "place" as never, toolCallId: "t", output: "Paris" as never });
    session.online = false;
    void chat.sendMessage({ text: "hi" });
    session.write(asked("from elsewhere"));
    await rest();
    expect(shown(chat)).toEqual(["user: old", "assistant: <tool-place>", "user: from elsewhere", "user: hi"]);
    expect(chat.messages[1]?.parts[0]).toMatchObject({ state: "output-available", output: "Paris" });
  });

  it("takes over a regeneration and an edit that were made elsewhere", async () => {
    const one = open();
    const two = open();
    transport.follow(one);
    transport.follow(two);
    session.write(asked("hi", "u1"));
    session.run("a1", { answers: 1 }).say("bad").end();
    await rest();
    void one.regenerate();
    await rest();
    expect(session.entries.at(-1)?.data).toEqual({ type: "regenerate", after: "u1" });
    session.run("a2", { answers: 3 }).say("good").end();
    await rest();
    expect([shown(one), shown(two)]).toEqual(Array(2).fill(["user: hi", "assistant: good"]));
    void two.sendMessage({ text: "hello", messageId: "u1" });
    await rest();
    session.run("a3", { answers: 5 }).say("fine").end();
    await rest();
    expect([shown(one), shown(two)]).toEqual(Array(2).fill(["user: hello", "assistant: fine"]));
  });

  it("shows of an answer that cannot be streamed what can be read, and does not try for ever", async () => {
    const chat = open();
    transport.follow(chat);
    session
      .run("a1")
      .append({ part: "ui", event: { type: "text-delta", id: "x", delta: "no start" } })
      .say("words");
    await rest();
    expect(chat.status).toBe("error");
    expect(shown(chat)).toEqual(["assistant: "]);
  });

  it("is over when it is ended", async () => {
    const chat = open();
    transport.follow(chat)();
    session.write(asked("hi"));
    await rest();
    expect(chat.messages).toEqual([]);
  });
});

describe("stop", () => {
  it("names the run, also in a page that did not ask for it", async () => {
    session.write(asked("hi"));
    const run = session.run("a1", { answers: 1 }).say("Hel");
    const chat = open();
    transport.follow(chat);
    await rest();
    expect(await transport.stop("chat-1")).toBe(true);
    expect(stops).toEqual([{ chatId: "chat-1", session: "chat-1", run: { offset: 2, id: "a1" }, answers: 1 }]);
    run.end("stopped");
    await rest();
    expect(chat.status).toBe("ready");
    expect(shown(chat)).toEqual(["user: hi", "assistant: Hel"]);
    expect(await transport.stop("chat-1")).toBe(false);
  });

  it("names the message where the run is still to come", async () => {
    expect(await transport.stop("chat-1")).toBe(false);
    session.write(asked("hi"));
    expect(await transport.stop("chat-1")).toBe(true);
    expect(stops).toEqual([{ chatId: "chat-1", session: "chat-1", answers: 1 }]);
  });

  it("is the session's own where nothing else is said", async () => {
    const { client, session } = fakeClient();
    const transport = new HoldfastChatTransport({ client });
    session.write(asked("hi"));
    expect(await transport.stop("chat-1")).toBe(true);
    const run = session.run("a1", undefined, 1).say("Hel");
    expect(await transport.stop("chat-1")).toBe(true);
    run.end("stopped");
    expect(await transport.stop("chat-1")).toBe(false);
    expect(session.commands).toEqual([
      { t: "stop", answers: 1 },
      { t: "stop", run: 2 },
    ]);
  });

  it("of an answer that nobody begins ends the waiting for it", async () => {
    const chat = open();
    void chat.sendMessage({ text: "hi" });
    await rest();
    const stop = { id: "s1", answers: 1, u: "u", c: "c" };
    session.event({ stop: { ...stop, state: "requested" } });
    await rest();
    expect(chat.status).toBe("submitted");
    session.event({ stop: { ...stop, state: "unreachable" } });
    await rest();
    expect(chat.status).toBe("ready");
    expect(shown(chat)).toEqual(["user: hi"]);
  });

  it("is of the run that was opened as the answer, whatever its data says", async () => {
    const chat = open();
    void chat.sendMessage({ text: "hi" });
    await rest();
    session.run("other", { answers: 1 }, 99).say("not this");
    session.run("a1", { answers: 99 }, 1).say("Hello").end();
    await rest();
    expect(shown(chat)).toEqual(["user: hi", "assistant: Hello"]);
  });
});
