import { describe, expect, it } from "vitest";
import { Unsettled } from "../../src/tabs/unsettled.ts";
import type { ClientFrame } from "../../src/wire.ts";

const send = (id: string): ClientFrame => ({ t: "send", s: "chat", id, data: 1 });
const sub: ClientFrame = { t: "sub", s: "chat" };
const stop: ClientFrame = { t: "stop", s: "chat", id: "c", run: 4 };
const page: ClientFrame = { t: "page", id: "p1", s: "chat", before: 9 };

describe("what was asked", () => {
  it("is repeated in order, each second, until it is answered", () => {
    const all = new Unsettled();
    for (const frame of [send("a"), sub, page, send("b")]) all.asked(frame, 0);
    expect(all.due(999)).toEqual([]);
    expect(all.due(1_000)).toEqual([send("a"), sub, page, send("b")]);
    all.answered({ t: "ack", s: "chat", id: "a", o: 1, g: 7, at: 1 });
    all.answered({ t: "sub", s: "chat", outcome: "continuous" });
    expect(all.due(1_500)).toEqual([]);
    expect(all.due(2_000)).toEqual([page, send("b")]);
    all.answered({ t: "err", re: "page", s: "chat", id: "p1", code: "not_found", msg: "" });
    all.answered({ t: "err", re: "send", s: "chat", id: "b", code: "forbidden", msg: "" });
    expect(all.due(9_000)).toEqual([]);
  });

  it("is answered for a command as for a message, and not by the entry that bears its id", () => {
    const all = new Unsettled();
    all.asked(stop, 0);
    all.answered({ t: "entry", s: "chat", o: 5, g: 1, k: "event", id: "c", at: 1 });
    expect(all.due(1_000)).toEqual([stop]);
    all.answered({ t: "err", re: "stop", s: "chat", id: "c", code: "forbidden", msg: "" });
    expect(all.due(9_000)).toEqual([]);
  });

  it("is not repeated where there is no answer, or where all begins anew", () => {
    const all = new Unsettled();
    all.asked({ t: "signal", s: "chat", data: 1 }, 0);
    all.asked({ t: "unsub", s: "chat" }, 0);
    expect(all.due(5_000)).toEqual([]);
    all.asked(sub, 0);
    all.clear();
    expect(all.due(5_000)).toEqual([]);
  });
});
