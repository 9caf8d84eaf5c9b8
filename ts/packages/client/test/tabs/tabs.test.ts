import { describe, expect, it } from "vitest";
import { older } from "../../src/older.ts";
import { stop, stopOf } from "../../src/stop.ts";
import type { Lease } from "../../src/tabs/messages.ts";
import { type Tab, World } from "./world.ts";

/** So many visible tabs (windows side by side), all live. */
async function windows(count: number, options = {}): Promise<{ world: World; all: Tab[] }> {
  const world = new World();
  world.server.log().append("message", "old");
  const all: Tab[] = [];
  for (let i = 0; i < count; i++) {
    all.push(await world.open(options));
    await world.advance(500);
  }
  return { world, all };
}

describe("many tabs", () => {
  it("have one connection, and all show the same", async () => {
    const { world, all } = await windows(4);
    expect(all.map((tab) => tab.state)).toEqual(["live", "live", "live", "live"]);
    expect(all.map((tab) => tab.data)).toEqual([["old"], ["old"], ["old"], ["old"]]);
    expect([world.server.attached.length, world.server.attaches]).toEqual([1, 1]);
    world.server.log().append("message", "new");
    await world.advance(100);
    expect(all.map((tab) => tab.data)).toEqual(Array(4).fill(["old", "new"]));
    expect(new Set(all.map((tab) => tab.client.stats.connection))).toEqual(new Set(["x1"]));
  });

  it("a new one shows what is there at once, without asking the server", async () => {
    const { world } = await windows(1);
    const frames = world.server.pages.length;
    const tab = await world.open();
    await world.advance(10);
    expect([tab.state, tab.data]).toEqual(["live", ["old"]]);
    expect(world.server.pages.length).toBe(frames);
    expect(world.server.attaches).toBe(1);
  });
});

describe("sending", () => {
  it("from any tab arrives once, in order, and is seen as that tab's", async () => {
    const { world, all } = await windows(3);
    const [, two, three] = all as [Tab, Tab, Tab];
    const sent = [two.chat.send("a"), two.chat.send("b"), three.chat.send("c")];
    await world.advance(200);
    expect(sent.map(({ state }) => state)).toEqual(["sent", "sent", "sent"]);
    for (const tab of all) {
      expect(tab.data).toEqual(["old", "a", "b", "c"]);
      expect(tab.chat.entries.map((e) => e.client).slice(1)).toEqual([
        two.client.clientId,
        two.client.clientId,
        three.client.clientId,
      ]);
      expect(tab.chat.outbox).toEqual([]);
    }
  });

  it("keeps its order where one message is lost with the connection, and the next one is slow to reach the leader", async () => {
    const { world, all } = await windows(2);
    const [leader, two] = all as [Tab, Tab];
    two.chat.send("a");
    await world.advance(world.bus);
    leader.cut();
    world.bus = 700;
    two.chat.send("b");
    await world.advance(5_000);
    expect(two.data).toEqual(["old", "a", "b"]);
  });

  it("keeps each one's order where one is refused for now, and the next one is under way already", async () => {
    const { world, all } = await windows(2);
    const [leader, two] = all as [Tab, Tab];
    world.bus = 700;
    world.server.refusals = 1;
    world.server.after = 300;
    two.chat.send("x");
    await world.advance(450);
    two.chat.send("y");
    await world.advance(240);
    // It is refused, and so is "x" after it. When it comes again, the server takes all; "y" is under way to the leader then.
    leader.chat.send("a");
    await world.advance(5_000);
    const order = two.data.filter((data) => data !== "a");
    expect([order, leader.data]).toEqual([["old", "x", "y"], two.data]);
  });

  it("a stop from any tab reaches the run in all, as that tab's, and is in it for whoever comes later", async () => {
    const { world, all } = await windows(3);
    const [, two] = all as [Tab, Tab, Tab];
    const run = world.server.log().openRun(undefined, { answers: 1 });
    await world.advance(100);
    const done = stop(two.chat, { run });
    await world.advance(200);
    expect(await done).toBe("requested");
    all.push(await world.open());
    await world.advance(200);
    for (const { chat } of all) {
      const stopped = { state: "requested", client: two.client.clientId };
      expect(chat.entries.find((e) => e.offset === run)).toMatchObject({ answers: 1, stop: stopped });
      expect(stopOf({ entries: chat.entries.filter((e) => e.kind === "event") }, { run })).toMatchObject(stopped);
    }
  });

  it("a stop outlives the tab that led", async () => {
    const { world, all } = await windows(2);
    const [one, two] = all as [Tab, Tab];
    const run = world.server.log().openRun();
    await world.advance(100);
    const done = stop(two.chat, { run });
    one.close();
    await world.advance(3_000);
    expect(await done).toBe("requested");
    expect(two.chat.entries.find((e) => e.offset === run)).toMatchObject({ stop: { state: "requested" } });
  });

  it("a signal reaches the other tabs, and not its sender", async () => {
    const { world, all } = await windows(3);
    const heard: string[][] = all.map(() => []);
    all.forEach((tab, i) => tab.chat.onSignal(({ data, client }) => heard[i]?.push(`${String(data)} ${client}`)));
    all[1]?.chat.signal("typing");
    await world.advance(100);
    const said = `typing ${all[1]?.client.clientId}`;
    expect(heard).toEqual([[said], [], [said]]);
  });
});

/** The longest time without anything new in a tab, while something new came every 5 ms. */
function stopwatch(world: World, tab: Tab): () => number {
  let last = world.clock;
  let longest = 0;
  tab.chat.subscribe(() => {
    longest = Math.max(longest, world.clock - last);
    last = world.clock;
  });
  return () => Math.max(longest, world.clock - last);
}

const offsets = (tab: Tab) => tab.chat.entries.map((e) => e.offset);
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1);

describe("the leader", () => {
  it.each(["close", "crash"] as const)("may %s in mid-stream: the next one goes on at once", async (end) => {
    const { world, all } = await windows(3);
    const [one, two, three] = all as [Tab, Tab, Tab];
    const log = world.server.log();
    const run = log.openRun();
    let n = 0;
    world.every(10, () => log.grow(run, { p: "", d: `${++n} ` }));
    await world.advance(200);
    expect(one.sockets.size).toBe(1);
    one[end]();
    // Of a crash nobody is told: it is looked for.
    await world.advance(end === "crash" ? 400 : 150);
    expect([two.state, three.state]).toEqual(["live", "live"]);
    expect(world.server.attached.length).toBe(1);
    await world.advance(100);
    // Some are still on their way, and some wait to be told together.
    const text = Array.from({ length: n - 7 }, (_, i) => `${i + 1} `).join("");
    for (const tab of [two, three]) {
      const entry = tab.chat.entries[1];
      expect(entry?.kind === "run" && entry.text.startsWith(text)).toBe(true);
    }
    expect(world.steals.length).toBeLessThanOrEqual(1);
  });

  it("goes into the back/forward cache without a lock or a channel, and comes back as a follower", async () => {
    const { world, all } = await windows(2);
    const [one, two] = all as [Tab, Tab];
    one.store();
    await world.advance(5);
    expect(world.onChannel).not.toContain(one);
    expect(world.atLock("lead")).not.toContain(one);
    await world.advance(295);
    expect(two.state).toBe("live");
    world.every(1_000, () => world.server.log().append("message", "x"));
    await world.advance(30_000);
    one.restore();
    await world.advance(200);
    expect([one.state, one.sockets.size, two.sockets.size]).toEqual(["live", 0, 1]);
    expect(offsets(one)).toEqual(offsets(two));
    expect(world.server.attached.length).toBe(1);
  });

  it("on its way into that cache is not robbed of what it gives: the browser would throw it out", async () => {
    const { world, all } = await windows(2);
    const [one, two] = all as [Tab, Tab];
    two.hide();
    await world.advance(500);
    one.store();
    await world.advance(20);
    two.show();
    await world.advance(300);
    expect([two.state, world.steals]).toEqual(["live", []]);
    await world.advance(1_000);
    expect(world.atLock("lead")).toEqual([two]);
  });

  it("that is frozen and keeps its lock does not hold up a tab that is shown", async () => {
    for (const kills of [true, false]) {
      const world = new World();
      world.kills = kills;
      const one = await world.open();
      await world.advance(2_000);
      const two = await world.open({ visible: false });
      await world.advance(1_000);
      one.hide();
      await world.advance(100);
      one.freeze();
      world.every(100, () => world.server.log().append("message", "x"));
      await world.advance(20_000);
      expect(world.atLock("lead")[0]).toBe(one);
      two.show();
      await world.advance(250);
      expect([two.state, two.sockets.size]).toEqual(["live", 1]);
      await world.advance(5_000);
      one.thaw();
      await world.advance(100);
      expect([one.sockets.size, one.state, world.server.attached.length]).toEqual([0, "live", 1]);
      await world.advance(1_000);
      for (const tab of [one, two]) expect(tab.data.length).toBeGreaterThanOrEqual(world.server.log().head - 1);
      expect(world.steals.length).toBe(1);
    }
  });

  it("hidden, hands over to a visible one without a gap, in order", async () => {
    const { world, all } = await windows(3);
    const [one, two, three] = all as [Tab, Tab, Tab];
    const log = world.server.log();
    world.every(5, () => log.append("message", log.head));
    await world.advance(1_000);
    const gaps = [two, three].map((tab) => stopwatch(world, tab));
    one.hide();
    await world.advance(1_000);
    expect(one.sockets.size).toBe(0);
    expect(two.sockets.size + three.sockets.size).toBe(1);
    expect(gaps.map((gap) => gap() <= 60)).toEqual([true, true]);
    for (const tab of all)
      expect(tab.states.filter((state) => state === "offline" || state === "connecting")).toHaveLength(1);
    await world.advance(100);
    const shown = [one, two, three].map((tab) => tab.data.length);
    expect(Math.min(...shown)).toBeGreaterThan(log.head - 12);
    expect(world.server.attached.length).toBe(1);
  });

  it("hidden, with nobody to hand over to, stays", async () => {
    const { world, all } = await windows(2);
    const [one, two] = all as [Tab, Tab];
    two.hide();
    one.hide();
    await world.advance(10_000);
    expect(world.server.attaches).toBe(1);
    world.server.log().append("message", "for whoever listens");
    await world.advance(100);
    expect(two.data).toEqual(["old", "for whoever listens"]);
  });

  it("gone while all others are hidden, is followed by one of them", async () => {
    const { world, all } = await windows(3);
    const [one, two, three] = all as [Tab, Tab, Tab];
    two.hide();
    three.hide();
    await world.advance(100);
    one.close();
    await world.advance(300);
    expect([two.state, three.state, world.server.attached.length]).toEqual(["live", "live", 1]);
    expect(world.steals).toEqual([]);
    // Also one that can say nothing of its end.
    const [leader, other] = two.sockets.size ? [two, three] : [three, two];
    leader.crash();
    await world.advance(5_000);
    expect([other.state, other.sockets.size]).toEqual(["live", 1]);
    expect(world.steals).toEqual([]);
  });

  it("whose line dies tells the truth in all tabs, and all come back", async () => {
    const { world, all } = await windows(3);
    world.server.up = false;
    for (const tab of all) tab.cut();
    await world.advance(5_000);
    expect(all.every((tab) => tab.state === "offline" || tab.state === "connecting")).toBe(true);
    const sending = all[2]?.chat.send("typed meanwhile");
    world.server.up = true;
    await world.advance(5_000);
    expect(all.map((tab) => tab.state)).toEqual(["live", "live", "live"]);
    expect(sending?.state).toBe("sent");
    for (const tab of all) expect(tab.data).toEqual(["old", "typed meanwhile"]);
    expect(world.server.attached.length).toBe(1);
  });
});

describe("tabs that flip back and forth", () => {
  it("dial seldom, and never stop showing", async () => {
    const { world, all } = await windows(2);
    const [one, two] = all as [Tab, Tab];
    two.hide();
    await world.advance(1_000);
    world.every(50, () => world.server.log().append("message", "x"));
    const before = world.server.attaches;
    for (let i = 0; i < 30; i++) {
      const [shown, hidden] = i % 2 ? [one, two] : [two, one];
      hidden.hide();
      shown.show();
      await world.advance(1_000);
      expect(shown.state).toBe("live");
      expect(shown.data.length).toBeGreaterThan(world.server.log().head - 4);
    }
    expect(world.server.attaches - before).toBeLessThanOrEqual(6);
    const { steals } = world;
    for (const tab of all) expect(steals.filter((steal) => steal.tab === tab).length).toBeLessThanOrEqual(3);
  });
});

describe("a tab that nobody hears", () => {
  it("has a connection of its own, and disturbs nobody", async () => {
    const { world, all } = await windows(2);
    const deaf = await world.open();
    deaf.deaf = true;
    const before = world.server.attaches;
    await world.advance(60_000);
    world.server.log().append("message", "new");
    await world.advance(100);
    for (const tab of [...all, deaf]) expect([tab.state, tab.data]).toEqual(["live", ["old", "new"]]);
    expect(world.server.attached.length).toBe(2);
    expect(world.server.attaches - before).toBe(1);
    expect(world.steals.filter(({ tab }) => tab === deaf).length).toBeLessThanOrEqual(3);
    deaf.deaf = false;
    await world.advance(16_000);
    expect([deaf.state, world.server.attached.length]).toEqual(["live", 1]);
  });

  it("that led is replaced once, and then left alone", async () => {
    const { world, all } = await windows(3);
    const [one] = all as [Tab];
    one.deaf = true;
    await world.advance(60_000);
    expect(all.map((tab) => tab.state)).toEqual(["live", "live", "live"]);
    expect(world.server.attached.length).toBe(2);
    expect(world.steals.length).toBeLessThanOrEqual(4);
  });
});

describe("a leader that speaks and does not hear", () => {
  it("is not waited for by a tab that is seen", async () => {
    const { world, all } = await windows(1);
    const [numb] = all as [Tab];
    numb.numb = true;
    const shown = await world.open();
    await world.advance(700);
    expect([shown.state, shown.data, shown.sockets.size]).toEqual(["live", ["old"], 1]);
    world.server.log().append("message", "new");
    await world.advance(4_000);
    for (const tab of [numb, shown]) expect([tab.state, tab.data]).toEqual(["live", ["old", "new"]]);
  });
});

describe("a machine that slept", () => {
  it("does not set its windows against each other", async () => {
    const { world, all } = await windows(3);
    world.clock += 600_000;
    await world.advance(3_000);
    expect(all.map((tab) => tab.state)).toEqual(["live", "live", "live"]);
    expect(world.steals).toEqual([]);
    expect(world.server.attached.length).toBe(1);
  });
});

describe("a tab that is opened while the lead is vacant and its lock is kept", () => {
  it("waits a moment, and not for the next look at things", async () => {
    const world = new World();
    const frozen = await world.open();
    await world.advance(500);
    frozen.hide();
    frozen.freeze();
    await world.advance(60_000);
    const shown = await world.open();
    await world.advance(300);
    expect([shown.state, world.atLock("lead")[0]]).toEqual(["live", shown]);
  });
});

describe("what a tab needs that the leader does not hold", () => {
  it("is read by pages, and comes without a hole", async () => {
    const world = new World();
    const log = world.server.log();
    for (let i = 0; i < 700; i++) log.append("message", i);
    await world.open({ last: 10 });
    await world.advance(500);
    const late = await world.open({ last: 300 });
    await world.advance(500);
    expect(offsets(late)).toEqual(upTo(700).slice(400));
    expect(late.state).toBe("live");
    const more = older(late.chat, 50);
    await world.advance(100);
    expect(await more).toBe(true);
    expect(offsets(late)).toEqual(upTo(700).slice(350));
    expect(world.server.attaches).toBe(1);
  });

  it("also after a tab was away for long", async () => {
    const { world, all } = await windows(2);
    const [one, two] = all as [Tab, Tab];
    two.store();
    for (let i = 0; i < 500; i++) world.server.log().append("message", i);
    await world.advance(1_000);
    // The leader has begun anew meanwhile, with the newest only.
    one.close();
    await world.open({ last: 5 });
    await world.advance(1_000);
    two.restore();
    await world.advance(500);
    expect(offsets(two)).toEqual(upTo(501));
    expect(two.chat.outcome).toBe("continuous");
  });

  it("a run is whole in every tab, whenever it came", async () => {
    const { world, all } = await windows(2);
    const log = world.server.log();
    const run = log.openRun();
    for (let i = 0; i < 20; i++) {
      log.grow(run, { p: "", d: `${i} ` }, { p: "steps", v: { i } });
      await world.advance(7);
      if (i === 5) all[1]?.freeze();
      if (i % 6 === 3) all.push(await world.open());
      if (i === 12) all[1]?.thaw();
      if (i === 15) all[0]?.crash();
    }
    log.end(run, "complete", { tokens: 20 });
    await world.advance(4_000);
    for (const tab of world.living) expect(tab.chat.entries).toEqual(all[1]?.chat.entries);
    const entry = all[1]?.chat.entries[1];
    expect(entry).toMatchObject({ status: "complete", end: { tokens: 20 }, fragments: 40 });
    expect(entry?.kind === "run" && entry.text).toBe(
      upTo(20)
        .map((i) => `${i - 1} `)
        .join(""),
    );
  });

  it("a log that was replaced is lost in every tab", async () => {
    const { world, all } = await windows(2);
    const log = world.server.log();
    log.replace("epoch00002");
    log.append("message", "anew");
    all[0]?.cut();
    await world.advance(1_000);
    for (const tab of all) expect([tab.data, tab.chat.outcome]).toEqual([["anew"], "lost"]);
  });
});

describe("sessions", () => {
  it("of all tabs are read over the one connection, and left when the last reader leaves", async () => {
    const world = new World();
    const one = await world.open({ sessions: ["a", "b"] });
    await world.advance(500);
    const two = await world.open({ sessions: ["b", "c"] });
    await world.advance(500);
    const [conn] = world.server.attached;
    expect([...(conn?.reading.keys() ?? [])].sort()).toEqual(["a", "b", "c"]);
    one.client.session("c");
    two.chats[0]?.close();
    await world.advance(100);
    expect([...(conn?.reading.keys() ?? [])].sort()).toEqual(["a", "b", "c"]);
    two.close();
    one.chats[1]?.close();
    await world.advance(100);
    expect([...(conn?.reading.keys() ?? [])].sort()).toEqual(["a", "c"]);
    expect([one.state, world.server.attaches]).toEqual(["live", 1]);
  });
});

describe("who is signed in", () => {
  it("as somebody else shares nothing", async () => {
    const world = new World();
    const anna = await world.open({ user: "anna" });
    const bert = await world.open({ user: "bert" });
    await world.advance(500);
    expect(world.server.attached.map(({ user }) => user).sort()).toEqual(["anna", "bert"]);
    expect([anna.client.stats.user, bert.client.stats.user]).toEqual(["anna", "bert"]);
    anna.chat.signal("psst");
    anna.close();
    await world.advance(5_000);
    expect(bert.client.stats.user).toBe("bert");
  });

  it("is asked for once in all tabs where it is known", async () => {
    const world = new World();
    const options = { options: { user: "anna" } };
    const one = await world.open(options);
    await world.advance(500);
    for (let i = 0; i < 3; i++) await world.open(options);
    await world.advance(500);
    expect(world.tokens).toBe(1);
    one.close();
    await world.advance(500);
    expect(world.living.map((tab) => tab.state)).toEqual(["live", "live", "live"]);
    expect(world.tokens).toBe(1);
  });

  it("is taken at its word no further than the server says", async () => {
    const world = new World();
    const liar = await world.open({ user: "bert", options: { user: "anna" } });
    const anna = await world.open({ user: "anna" });
    await world.advance(4_000);
    expect([liar.client.stats.user, anna.client.stats.user]).toEqual(["bert", "anna"]);
    expect([liar.state, anna.state]).toEqual(["live", "live"]);
  });
});

describe("a promise of another user's leader", () => {
  it("is not believed, whatever channel it comes by", async () => {
    const { world, all } = await windows(2);
    const lease = JSON.parse(world.shared.get("holdfast:wss://host/v1/ws:anna:lease") ?? "") as Lease;
    const rogue = world.siblings(all[1] as Tab).channel("holdfast:wss://host/v1/ws:anna", () => {});
    const welcome = lease.welcome && { ...lease.welcome, user: "bert" };
    rogue.post({ ...lease, tab: "rogue", epoch: lease.epoch + 1_000_000, welcome });
    await world.advance(300);
    expect(all.map((tab) => tab.client.stats.user)).toEqual(["anna", "anna"]);
    expect(world.server.attaches).toBe(1);
  });
});

describe("a log that lost its end", () => {
  it("is noticed by a tab that had read further", async () => {
    const { world, all } = await windows(2);
    const [one, two] = all as [Tab, Tab];
    const log = world.server.log();
    for (let i = 0; i < 5; i++) log.append("message", i);
    await world.advance(100);
    two.store();
    log.entries.length -= 2;
    one.cut();
    await world.advance(1_000);
    two.restore();
    await world.advance(2_500);
    for (const tab of [one, two]) expect([tab.state, tab.data]).toEqual(["live", ["old", 0, 1, 2]]);
  });
});

describe("leaving", () => {
  it("by disconnect is one tab's own, and connect brings it back", async () => {
    const { world, all } = await windows(2);
    const [one, two] = all as [Tab, Tab];
    one.client.disconnect();
    await world.advance(500);
    expect([one.state, two.state, two.sockets.size]).toEqual(["idle", "live", 1]);
    one.client.connect();
    await world.advance(500);
    expect([one.state, world.server.attached.length]).toEqual(["live", 1]);
    for (const tab of all) tab.client.close();
    await world.advance(500);
    expect([world.server.attached.length, world.onChannel, world.atLock("lead")]).toEqual([0, [], []]);
  });
});
