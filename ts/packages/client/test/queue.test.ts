import { describe, expect, it } from "vitest";
import { move, queueOf, withdraw } from "../src/queue.ts";
import { connected, env, server, texts } from "./stage.ts";

async function busy() {
  const client = await connected();
  const chat = client.session("chat");
  const log = server.log("chat");
  log.append("message", "first", { id: "other:1", u: "bob" });
  log.queue = [];
  await env.settle();
  const waiting = () => texts(queueOf(chat.snapshot).waiting);
  return { client, chat, log, waiting };
}

describe("a message that waits for its turn", () => {
  it("is in the outbox, then in the queue, then among the entries, and never in two places or none", async () => {
    const { chat, log, waiting } = await busy();
    const places: string[] = [];
    const look = () => {
      const { entries, outbox } = chat.snapshot;
      const at = [
        ["outbox", texts(outbox)],
        ["queue", waiting()],
        ["entries", texts(entries)],
      ] as const;
      places.push(
        at
          .filter(([, list]) => list.includes("second"))
          .map(([name]) => name)
          .join(" and "),
      );
    };
    chat.subscribe(look);
    const sent = chat.send("second");
    look();
    await env.settle();
    expect(await sent.done).toMatchObject({ state: "queued" });
    expect(queueOf(chat.snapshot)).toMatchObject({
      policy: "queue",
      turn: 1,
      waiting: [{ id: sent.id, user: "anna" }],
    });
    log.letIn();
    await env.settle();
    expect(places.filter((place, i) => place !== places[i - 1])).toEqual(["outbox", "queue", "entries"]);
    expect(chat.entries.find(({ id }) => id === sent.id)).toMatchObject({ kind: "message", user: "anna" });
    expect(queueOf(chat.snapshot)).toMatchObject({ turn: undefined, waiting: [] });
  });

  it("is sent again until it is acked, and waits once", async () => {
    const { chat, log, waiting } = await busy();
    server.acks = false;
    const sent = chat.send("second");
    await env.settle();
    server.acks = true;
    env.pipe.end();
    await env.advance(30_000);
    expect(await sent.done).toMatchObject({ state: "queued" });
    expect(server.of("send").map(({ id }) => id)).toEqual([sent.id, sent.id]);
    expect([waiting(), log.queue?.length, chat.outbox.length]).toEqual([["second"], 1, 0]);
  });

  it("may have had its turn before its ack comes", async () => {
    const { chat, log, waiting } = await busy();
    server.acks = false;
    const sent = chat.send("second");
    await env.settle();
    log.letIn();
    await env.settle();
    expect(await sent.done).toMatchObject({ offset: 3 });
    expect([waiting(), chat.outbox.length, texts(chat.entries).filter((data) => data === "second").length]).toEqual([
      [],
      0,
      1,
    ]);
  });
});

describe("the queue", () => {
  it("is withdrawn from and changed, over reconnects too", async () => {
    const { chat, waiting } = await busy();
    for (const text of ["a", "b", "c"]) chat.send(text);
    await env.settle();
    const [a, , c] = queueOf(chat.snapshot).waiting;
    if (!a || !c) throw new Error("they do not wait");
    server.down();
    const done = Promise.all([move(chat, c, 0), withdraw(chat, { id: a.id })]);
    await env.advance(5_000);
    server.back();
    await env.advance(30_000);
    await done;
    expect(waiting()).toEqual(["c", "b"]);
    expect(queueOf(chat.snapshot).left).toEqual([{ id: a.id, user: "anna", state: "withdrawn", by: "" }]);
    expect(server.of("queue").at(-1)).toMatchObject({ do: "withdraw", of: { id: a.id } });
    const refused = expect(withdraw(chat, a)).rejects.toMatchObject({ code: "conflict" });
    await env.settle();
    await refused;
  });

  it("stays the same object until something changes, and is empty where there is none", async () => {
    const { client, chat } = await busy();
    chat.send("a");
    await env.settle();
    const before = queueOf(chat.snapshot);
    chat.signal("typing");
    server.log("chat").append("message", "b", { u: "bob" });
    await env.settle();
    expect(queueOf(chat.snapshot)).toBe(before);
    expect(queueOf(client.session("other").snapshot)).toEqual({
      policy: "parallel",
      turn: undefined,
      waiting: [],
      left: [],
    });
  });
});
