import { describe, expect, it } from "vitest";
import { presenceOf } from "../src/index.ts";
import type { MembersFrame } from "../src/wire.ts";
import { connected, env, make, server } from "./stage.ts";
import { World } from "./tabs/world.ts";

const BEN = { u: "ben", c: "b1", name: "Ben's phone", since: 17 };
const all = (...members: NonNullable<MembersFrame["members"]>): MembersFrame => ({
  t: "members",
  s: "chat",
  all: true,
  members,
});
const names = (p: { members: readonly { user: string; client: string }[] }) =>
  p.members.map(({ user, client }) => `${user}/${client}`);
const reads = () => server.of("read").map(({ o, got }) => [o, got]);

describe("presence", () => {
  it("is asked for with the first subscription, and with each after it", async () => {
    const client = make();
    const presence = presenceOf(client.session("chat"));
    client.connect();
    await env.settle();
    expect(server.of("hello")[0]?.subs).toEqual([{ s: "chat", act: "open", watch: true }]);
    env.pipe.end();
    await env.advance(10_000);
    expect(server.of("hello")[1]?.subs[0]).toMatchObject({ watch: true });
    expect(presenceOf(client.session("chat"))).toBe(presence);
  });

  it("is asked for by a subscription of its own where the session is read already", async () => {
    const client = await connected();
    const chat = client.session("chat");
    await env.settle();
    presenceOf(chat);
    await env.settle();
    expect(server.of("sub").map(({ watch }) => watch)).toEqual([undefined, true]);
    expect(chat.status).toBe("live");
  });

  it("follows who comes, goes and looks away", async () => {
    const client = await connected();
    const presence = presenceOf(client.session("chat"));
    let told = 0;
    presence.subscribe(() => told++);
    server.say(all({ u: "anna", c: "a1", since: 16 }, BEN));
    expect(names(presence)).toEqual(["anna/a1", "ben/b1"]);
    expect(presence.members[1]).toEqual({
      user: "ben",
      client: "b1",
      name: "Ben's phone",
      away: false,
      since: 17,
      read: 0,
      shown: 0,
    });
    const before = presence.members;
    expect(presence.members).toBe(before);
    server.say({ t: "members", s: "chat", members: [{ ...BEN, away: true }] });
    expect(presence.members[1]?.away).toBe(true);
    server.say({ t: "members", s: "chat", left: [{ u: "anna", c: "a1" }] });
    expect(names(presence)).toEqual(["ben/b1"]);
    server.say(all());
    expect([names(presence), told]).toEqual([[], 4]);
  });

  it("knows how far others have read, in this log only", async () => {
    server.log("chat").append("message", 1);
    const client = await connected();
    const presence = presenceOf(client.session("chat"));
    await env.settle();
    const e = server.log("chat").epoch;
    server.say(all({ ...BEN, e, o: 1, got: 1 }, { u: "old", c: "o", e: "another", o: 9, got: 9 }));
    expect(presence.members.map(({ read, shown }) => [read, shown])).toEqual([
      [1, 1],
      [0, 0],
    ]);
  });

  it("is told anew when it is known which log is shown: the positions may have come before", async () => {
    const log = server.log("chat");
    log.append("message", 1);
    const client = make();
    const presence = presenceOf(client.session("chat"));
    const seen: unknown[] = [];
    presence.subscribe(() => seen.push(presence.members[0]?.read));
    const { onDial } = env;
    env.onDial = (pipe) => {
      onDial(pipe);
      const { onSend } = pipe;
      pipe.onSend = (text) => {
        if (text.startsWith('{"t":"hello"')) server.say(all({ ...BEN, e: log.epoch, o: 1, got: 1 }), pipe);
        onSend(text);
      };
    };
    client.connect();
    await env.settle();
    expect([seen[0], seen.at(-1)]).toEqual([0, 1]);
  });

  it("says nothing of another log than that which was read", async () => {
    const log = server.log("chat");
    log.append("message", 1);
    log.append("message", 2);
    const client = await connected();
    const presence = presenceOf(client.session("chat"));
    await env.advance(2_000);
    presence.read();
    expect(reads().at(-1)).toEqual([2, 2]);
    env.pipe.end();
    log.replace("another");
    for (const text of [1, 2, 3]) log.append("message", text);
    await env.advance(10_000);
    server.say(all());
    await env.advance(2_000);
    expect(reads().at(-1)).toEqual([0, 3]);
  });

  it("tells what is shown and what is read, and on each connection anew", async () => {
    const log = server.log("chat");
    log.append("message", 1);
    log.append("message", 2);
    const client = await connected();
    const presence = presenceOf(client.session("chat"));
    await env.advance(2_000);
    expect(reads()).toEqual([[0, 2]]);
    presence.read(1);
    presence.read(1);
    expect(reads()).toEqual([
      [0, 2],
      [1, 2],
    ]);
    log.append("message", 3);
    await env.advance(2_000);
    presence.read();
    expect(reads().slice(2)).toEqual([
      [1, 3],
      [3, 3],
    ]);
    env.pipe.end();
    await env.advance(10_000);
    server.say(all());
    await env.advance(2_000);
    expect(reads().at(-1)).toEqual([3, 3]);
  });

  it("says that somebody looks, while somebody does", async () => {
    const client = await connected();
    presenceOf(client.session("chat"));
    await env.advance(2_000);
    const before = reads().length;
    await env.advance(100_000);
    expect(reads().length - before).toBe(4);
    env.looking = false;
    env.signal("hidden");
    await env.advance(100_000);
    expect(reads().length - before).toBe(4);
  });

  it("ends with close, and with its session", async () => {
    const client = await connected();
    const chat = client.session("chat");
    await env.settle();
    presenceOf(chat).close();
    await env.advance(60_000);
    expect(reads()).toEqual([]);
    expect(server.of("sub").map(({ watch }) => watch)).toEqual([undefined, true, undefined]);
    env.pipe.end();
    await env.advance(10_000);
    expect(server.of("hello")[1]?.subs[0]?.watch).toBeUndefined();
    const other = client.session("other");
    presenceOf(other);
    await env.advance(2_000);
    const before = reads().length;
    other.close();
    await env.advance(120_000);
    expect(reads().length).toBe(before);
  });

  it("is asked for by one tab for all, and told to all", async () => {
    const world = new World();
    const [one, two] = [await world.open(), await world.open()];
    await world.advance(500);
    const seen = [presenceOf(one.chat), presenceOf(two.chat)];
    await world.advance(500);
    world.server.attached[0]?.say(all(BEN));
    await world.advance(100);
    expect(seen.map(names)).toEqual([["ben/b1"], ["ben/b1"]]);
    expect([one.state, two.state]).toEqual(["live", "live"]);
  });
});
