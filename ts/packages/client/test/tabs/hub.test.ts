import { describe, expect, it } from "vitest";
import type { OwnedFrame } from "../../src/link.ts";
import { Hub } from "../../src/tabs/hub.ts";
import type { ClientFrame, ServerFrame } from "../../src/wire.ts";
import { FakeLog } from "../fake-server.ts";

function stage() {
  const log = new FakeLog("chat");
  const written: ClientFrame[] = [];
  const batches: number[] = [];
  const told: { frame: OwnedFrame; to: string | undefined }[] = [];
  const later: (() => void)[] = [];
  const at = { open: true, clock: 10_000 };
  const timers = new Set<{ run: () => void; at: number }>();
  const looks: { tab: string; run: () => void }[] = [];
  const env = {
    now: () => at.clock,
    soon: (run: () => void) => void later.push(run),
    timer(run: () => void, ms: number) {
      const timer = { run, at: at.clock + ms };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
  };
  const hub = new Hub(env, "shared", {
    tab: "home",
    here: (frame) => void told.push({ frame, to: "home" }),
    tell(frames, to) {
      told.push(...frames.map((frame) => ({ frame, to })));
      if (to === undefined) batches.push(frames.length);
    },
    gone: (tab, run) => void looks.push({ tab, run }),
  });
  const stats = { connection: "x1", user: "anna", dials: 1, welcomes: 1, received: 0, sent: 0, rtt: 0 };
  const send = (frame: ClientFrame) => void written.push(frame);
  hub.line = Object.defineProperty({ open: true, stats, send }, "open", { get: () => at.open });
  const settle = () => {
    for (const run of later.splice(0)) run();
  };
  const pass = (ms: number) => {
    at.clock += ms;
    for (const timer of [...timers]) if (timer.at <= at.clock && timers.delete(timer)) timer.run();
    settle();
  };
  const hear = (...frames: readonly ServerFrame[]) => {
    for (const frame of frames) hub.frame(frame as OwnedFrame);
    settle();
  };
  /** The server's answer to the latest subscription. */
  const answered = () => {
    const sub = written.filter((frame) => frame.t === "sub").at(-1);
    if (sub?.t !== "sub") throw new Error("nothing was asked");
    hear(...log.answer(sub.last, sub.cur));
  };
  const types = (to: string | undefined) => told.filter((one) => one.to === to).map(({ frame }) => frame.t);
  return { log, hub, written, told, batches, looks, timers, at, pass, hear, answered, types };
}

describe("a hub", () => {
  it("asks the server once, and answers each tab when it knows", () => {
    const { log, hub, written, answered, types } = stage();
    log.append("message", "a");
    hub.join("one", [{ s: "chat" }], false);
    hub.join("two", [{ s: "chat" }], false);
    expect(written.map(({ t }) => t)).toEqual(["sub"]);
    expect([types("one"), types("two")]).toEqual([[], []]);
    answered();
    expect([types("one"), types("two")]).toEqual([
      ["sub", "entry", "live"],
      ["sub", "entry", "live"],
    ]);
    hub.join("three", [{ s: "chat" }], false);
    expect([types("three"), written.length]).toEqual([["sub", "entry", "live"], 1]);
  });

  it("asks who is there with what it asks first, and of a tab that comes later anew", () => {
    const { hub, written, answered } = stage();
    hub.expect("home", { s: "chat", watch: true }, undefined);
    expect(hub.attach()).toEqual([{ s: "chat", watch: true }]);
    hub.join("home", [{ s: "chat", watch: true }], true);
    expect(written).toEqual([]);
    written.push({ t: "sub", s: "chat", watch: true });
    answered();
    expect(hub.upToDate()).toBe(true);
    hub.join("one", [{ s: "chat", watch: true }], false);
    expect(written.at(-1)).toMatchObject({ t: "sub", s: "chat", watch: true });
    // The server passes over a subscription that another one followed before it could answer.
    hub.join("two", [{ s: "chat", watch: true }], false);
    answered();
    expect(hub.upToDate()).toBe(true);
  });

  it("opens after the welcome what was wanted between hello and that", () => {
    const { hub, written, at } = stage();
    at.open = false;
    expect(hub.attach()).toEqual([]);
    hub.join("one", [{ s: "chat", last: 7 }], false);
    expect(written).toEqual([]);
    at.open = true;
    hub.welcomed();
    expect(written).toEqual([{ t: "sub", s: "chat", last: 7 }]);
  });

  it("leaves after the welcome what was closed between hello and that", () => {
    const { hub, written, at } = stage();
    hub.expect("home", { s: "a" }, undefined);
    hub.expect("home", { s: "b" }, undefined);
    hub.expect("home", { s: "c" }, undefined);
    at.open = false;
    hub.attach();
    // Nothing can be said yet. One that is opened again meanwhile is kept.
    for (const s of ["a", "c"]) hub.up("home", "c1", { t: "unsub", s });
    hub.join("one", [{ s: "c" }], false);
    hub.up("home", "c1", { t: "unsub", s: "a" });
    written.length = 0;
    at.open = true;
    hub.welcomed();
    expect(written).toEqual([{ t: "unsub", s: "a" }]);
    hub.cut();
    at.open = false;
    hub.up("home", "c1", { t: "unsub", s: "b" });
    expect(hub.attach().map(({ s }) => s)).toEqual(["c"]);
  });

  it("finds a hole, asks again, and passes on nothing that it did not take", () => {
    const { log, hub, written, told, hear, answered } = stage();
    hub.join("one", [{ s: "chat" }], false);
    log.append("message", "a");
    answered();
    const before = told.length;
    hear({ t: "entry", s: "chat", o: 4, g: 28, k: "message", at: 1, data: "d" });
    expect(told.length).toBe(before);
    expect(written.at(-1)).toMatchObject({ t: "sub", cur: { o: 1 } });
    for (const data of ["b", "c", "d"]) log.append("message", data);
    answered();
    const all = told
      .slice(before)
      .filter(({ to }) => to === "home")
      .map(({ frame }) => (frame.t === "entry" ? frame.o : frame.t));
    expect(all).toEqual(["sub", 2, 3, 4, "live"]);
    expect(hub.upToDate()).toBe(true);
  });

  it("tells this tab at once, and the others together what comes while they wait", () => {
    const { log, hub, batches, types, pass, answered, timers } = stage();
    hub.join("home", [{ s: "chat" }], true);
    answered();
    log.onFrame.add((frame) => hub.frame(frame));
    log.append("message", "for nobody else");
    pass(0);
    expect([batches, timers.size]).toEqual([[], 0]);
    hub.join("one", [], false);
    for (let i = 0; i < 40; i++) {
      log.append("message", i);
      expect(types("home").filter((type) => type === "entry").length).toBe(i + 2);
      pass(10);
    }
    // The first at once, and then each 60 ms.
    expect(batches).toEqual([1, 6, 6, 6, 6, 6, 6]);
    pass(60);
    expect(batches).toEqual([1, 6, 6, 6, 6, 6, 6, 3]);
    expect(timers.size).toBe(0);
  });

  it("tells others sooner while one of them is seen, and at once what waits for it", () => {
    const { log, hub, batches, pass, answered } = stage();
    hub.join("one", [{ s: "chat" }], false);
    answered();
    pass(1_000);
    batches.length = 0;
    log.onFrame.add((frame) => hub.frame(frame));
    for (let i = 0; i < 3; i++) {
      log.append("message", i);
      pass(10);
    }
    expect(batches).toEqual([1]);
    hub.see("one", true);
    expect(batches).toEqual([1, 2]);
    for (let i = 0; i < 6; i++) {
      log.append("message", i);
      pass(10);
    }
    hub.see("one", false);
    expect(batches).toEqual([1, 2, 3, 3]);
    hub.see("nobody", true);
  });

  it("tells what waits when it ends, and does not wait for a timer that is late", () => {
    const { log, hub, batches, at, pass, answered, timers } = stage();
    hub.join("one", [{ s: "chat" }], false);
    answered();
    pass(1_000);
    batches.length = 0;
    log.onFrame.add((frame) => hub.frame(frame));
    log.append("message", 1);
    pass(0);
    log.append("message", 2);
    timers.clear();
    at.clock += 200;
    log.append("message", 3);
    pass(0);
    expect(batches).toEqual([1, 2]);
    log.append("message", 4);
    hub.end();
    expect([batches, timers.size]).toEqual([[1, 2, 1], 0]);
  });

  it("leaves what a tab read when the tab is gone, however it went", () => {
    const { hub, written, looks, at } = stage();
    hub.join("one", [{ s: "a" }], false);
    hub.join("two", [{ s: "b" }], false);
    at.clock += 15_000;
    hub.tick();
    hub.tick();
    expect(looks.map(({ tab }) => tab)).toEqual(["one", "two"]);
    looks[0]?.run();
    expect(written.filter(({ t }) => t === "unsub")).toEqual([{ t: "unsub", s: "a" }]);
    at.clock += 15_000;
    hub.tick();
    expect(looks.map(({ tab }) => tab)).toEqual(["one", "two", "two"]);
  });

  it("gives pages and refusals to who asked", () => {
    const { hub, written, told, hear } = stage();
    hub.up("one", "c1", { t: "page", id: "p1", s: "chat", before: 9 });
    expect(written).toEqual([{ t: "page", id: "one/p1", s: "chat", before: 9 }]);
    hear({ t: "page", id: "one/p1", s: "chat", e: "x", items: [] });
    hear({ t: "err", re: "page", id: "one/p2", s: "chat", code: "not_found", msg: "none" });
    expect(told.map(({ to, frame }) => [to, frame.t, "id" in frame && frame.id])).toEqual([
      ["one", "page", "p1"],
      ["one", "err", "p2"],
    ]);
  });

  it("does without the pages that are refused", () => {
    const { log, hub, written, hear, answered, types } = stage();
    for (let i = 0; i < 80; i++) log.append("message", i);
    hub.join("one", [{ s: "chat", last: 5 }], false);
    answered();
    hub.join("two", [{ s: "chat", last: 60 }], false);
    expect(written.at(-1)).toMatchObject({ t: "page", id: "/chat", before: 76 });
    expect(types("two")).toEqual([]);
    hear({ t: "err", re: "page", id: "/chat", s: "chat", code: "unavailable", msg: "later" });
    expect(types("two")).toEqual(["sub", ...Array<string>(5).fill("entry"), "live"]);
  });

  it("asks the server again for whoever comes where it was denied", () => {
    const { hub, written, hear, types } = stage();
    hub.join("one", [{ s: "chat" }], false);
    hear({ t: "err", re: "sub", s: "chat", code: "too_large", msg: "too many" });
    expect(types("one")).toEqual(["sub"]);
    hub.join("two", [{ s: "chat" }], false);
    expect(written.filter(({ t }) => t === "sub").length).toBe(2);
  });

  it("asks again when it is told to, and nobody is denied meanwhile", () => {
    const { hub, written, hear, types, pass, answered } = stage();
    hub.join("one", [{ s: "chat", act: "open" }, { s: "left" }], false);
    const later = { t: "err", re: "sub", code: "rate_limited", msg: "wait, then repeat it", after: 1_000 } as const;
    hear({ ...later, s: "chat" }, { ...later, s: "left" }, { ...later, s: "nobody's" });
    hub.up("one", "c1", { t: "unsub", s: "left" });
    expect(types("one")).toEqual([]);
    expect(hub.upToDate()).toBe(false);
    written.length = 0;
    pass(999);
    expect(written).toEqual([]);
    pass(1);
    expect(written).toEqual([{ t: "sub", s: "chat", act: "open" }]);
    hear({ ...later, s: "chat", code: "unavailable", after: 500 });
    pass(500);
    expect(written.length).toBe(2);
    answered();
    expect(types("one")).toEqual(["sub", "live"]);
    pass(10_000);
    expect(written.length).toBe(2);
  });

  it("reads on where it was when it is told to ask again for what it reads already", () => {
    const { log, hub, written, told, pass, hear, answered } = stage();
    hub.join("one", [{ s: "chat" }], false);
    log.append("message", "a");
    answered();
    log.onFrame.add((frame) => hub.frame(frame));
    hub.join("two", [{ s: "chat", watch: true }], false);
    hear({ t: "err", re: "sub", s: "chat", code: "rate_limited", msg: "wait", after: 1_000 });
    // The older reading goes on meanwhile.
    log.append("message", "b");
    pass(1_000);
    expect(written.at(-1)).toMatchObject({ t: "sub", cur: { o: 1 }, watch: true });
    answered();
    log.append("message", "c");
    const home = told.filter(({ to, frame }) => to === "home" && frame.t === "entry");
    expect(home.map(({ frame }) => frame.t === "entry" && frame.o)).toEqual([1, 2, 3]);
    expect([hub.upToDate(), told.some(({ frame }) => "outcome" in frame && frame.outcome === "denied")]).toEqual([
      true,
      false,
    ]);
  });

  it("shows a message as its tab's, and leaves other clients' alone", () => {
    const { log, hub, told, answered } = stage();
    log.append("message", 1, { c: "shared", id: "tab-a:page1" });
    log.append("message", 2, { c: "else", id: "tab-b:page1" });
    log.append("message", 3, { c: "shared", id: "odd" });
    hub.join("one", [{ s: "chat" }], false);
    answered();
    const clients = told.flatMap(({ frame, to }) => (to === "one" && frame.t === "entry" ? [frame.c] : []));
    expect(clients).toEqual(["tab-a", "else", "shared"]);
  });

  it("gives a reader of another log up after a while", () => {
    const { log, hub, at, answered, types } = stage();
    hub.join("one", [{ s: "chat" }], false);
    log.append("message", "a");
    answered();
    hub.join("two", [{ s: "chat", cur: { e: "epoch00001", o: 9, g: 63 } }], false);
    hub.tick();
    expect(types("two")).toEqual([]);
    at.clock += 1_000;
    hub.tick();
    expect(types("two")).toEqual(["sub", "entry", "live"]);
  });

  it("leaves a session with its last reader, also one that joined anew without it", () => {
    const { hub, written } = stage();
    hub.join("one", [{ s: "a" }, { s: "b" }], false);
    hub.join("two", [{ s: "b" }], false);
    hub.join("one", [{ s: "b" }], false);
    hub.leave("two");
    hub.up("one", "c1", { t: "unsub", s: "b" });
    expect(written.filter(({ t }) => t === "unsub")).toEqual([
      { t: "unsub", s: "a" },
      { t: "unsub", s: "b" },
    ]);
  });
});
