import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type ClientFrame, decode, encode, type SubItem } from "../src/wire.ts";

interface Golden {
  readonly name: string;
  readonly from: "client" | "server";
  readonly frame: { readonly t: string; readonly [member: string]: unknown };
}

const file = new URL("../../../../wire/testdata/golden.json", import.meta.url);
const golden = JSON.parse(readFileSync(file, "utf8")) as readonly Golden[];
const isUnknown = ({ name }: Golden) => name.startsWith("unknown");
const fromServer = golden.filter((g) => g.from === "server");
const fromClient = golden.filter((g) => g.from === "client" && !isUnknown(g));

describe("golden frames", () => {
  it("are there", () => {
    expect(fromServer.length).toBeGreaterThan(25);
    expect(fromClient.length).toBeGreaterThan(12);
  });

  it.each(fromServer.filter((g) => !isUnknown(g)))("server: $name", ({ frame }) => {
    expect(decode(JSON.stringify(frame))).toEqual(frame);
  });

  it.each(fromServer.filter((g) => !isUnknown(g)))("server, from a newer one: $name", ({ frame }) => {
    expect(decode(JSON.stringify({ ...frame, novelty: { x: 1 } }))?.t).toBe(frame.t);
  });

  it.each(fromClient)("client: $name", ({ frame }) => {
    expect(JSON.parse(encode(typed(frame)))).toEqual(frame);
  });
});

/** Builds the frame out of its members one by one, so that a member unknown to the types would be missing. */
function typed(frame: Golden["frame"]): ClientFrame {
  const f = frame as unknown as ClientFrame;
  switch (f.t) {
    case "hello":
      return {
        t: "hello",
        v: f.v,
        token: f.token,
        client: f.client,
        gen: f.gen,
        ...(f.agent && { agent: f.agent }),
        ...(f.mode && { mode: f.mode }),
        ...(f.hidden && { hidden: f.hidden }),
        ...(f.wait && { wait: f.wait }),
        ...(f.act && { act: f.act }),
        ...(f.device && { device: f.device }),
        ...(f.name && { name: f.name }),
        ...(f.windows && { windows: f.windows }),
        subs: f.subs.map(sub),
      };
    case "take":
      return {
        t: "take",
        gen: f.gen,
        ...(f.hidden && { hidden: f.hidden }),
        ...(f.act && { act: f.act }),
        subs: f.subs.map(sub),
      };
    case "claim":
      return { t: "claim" };
    case "read":
      return { t: "read", s: f.s, e: f.e, ...(f.o && { o: f.o }), ...(f.got && { got: f.got }) };
    case "view":
      return { t: "view", hidden: f.hidden };
    case "sub":
      return { t: "sub", ...sub(f) };
    case "unsub":
      return { t: "unsub", s: f.s };
    case "page": {
      const { id, s, before, after, limit } = f;
      return { t: "page", id, s, ...(before && { before }), ...(after && { after }), ...(limit && { limit }) };
    }
    case "answer":
      return { t: "answer", s: f.s, id: f.id, request: f.request, data: f.data };
    case "send":
      return { t: "send", s: f.s, id: f.id, ...(f.first && { first: f.first }), data: f.data };
    case "stop": {
      const { s, id, run, answers } = f;
      return { t: "stop", s, id, ...(run && { run }), ...(answers && { answers }) };
    }
    case "queue": {
      const { s, id, of, to } = f;
      const ref = { ...(of.u && { u: of.u }), id: of.id };
      return { t: "queue", s, id, do: f.do, of: ref, ...(to !== undefined && { to }) };
    }
    case "signal":
      return { t: "signal", s: f.s, data: f.data };
    case "token":
      return { t: "token", token: f.token };
    case "ping":
    case "pong":
      return { t: f.t, n: f.n };
    case "bye":
      return { t: "bye", ...(f.park && { park: f.park }) };
  }
}

function sub({ s, last, rollup, cur, act, watch }: SubItem) {
  const more = { ...(act && { act }), ...(watch && { watch }) };
  const item = { s, ...(last !== undefined && { last }), ...(rollup && { rollup }), ...more };
  return cur ? { ...item, cur: { e: cur.e, o: cur.o, g: cur.g, ...(cur.r && { r: cur.r }) } } : item;
}

describe("what is no frame is skipped", () => {
  it.each([
    ["not JSON", "{"],
    ["no object", "[1]"],
    ["null", "null"],
    ["no type", "{}"],
    ["a number", "1"],
  ])("%s", (_, text) => {
    expect(decode(text)).toBeUndefined();
  });
});
