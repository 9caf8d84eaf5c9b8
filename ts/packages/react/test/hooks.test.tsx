// @vitest-environment happy-dom
import { Client, type SessionSnapshot, type StopState } from "@holdfast/client";
import { act, memo, type ReactNode, StrictMode } from "react";
import { createRoot, hydrateRoot, type Root } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeEnv } from "../../client/test/fake-env.ts";
import { FakeServer } from "../../client/test/fake-server.ts";
import { useOlder, useSend, useSession, useSignal, useStatus, useStop } from "../src/index.ts";

let env: FakeEnv;
let server: FakeServer;
let client: Client;
let root: Root;
let place: HTMLElement;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });
  env = new FakeEnv();
  server = new FakeServer(env);
  client = new Client({ env, url: "ws://host/v1/ws", token: "tok" });
  place = document.createElement("div");
  root = createRoot(place);
});

afterEach(async () => {
  await act(() => root.unmount());
  client.close();
  vi.useRealTimers();
});

const settle = () => act(() => env.settle());
const text = () => place.textContent;
const entries = ({ entries }: SessionSnapshot) => entries.map(({ data }) => String(data)).join(",");

async function show(what: ReactNode): Promise<void> {
  await act(() => root.render(what));
  await settle();
}

async function connected(): Promise<void> {
  client.connect();
  await settle();
}

function Chat({ id = "chat", last = 30 }: { readonly id?: string; readonly last?: number }) {
  return <p>{useSession(client, id, { last, select: entries })}</p>;
}

describe("useSession", () => {
  it("shows what is there, and what comes", async () => {
    server.log("chat").append("message", "one");
    await connected();
    await show(<Chat />);
    expect(text()).toBe("one");
    server.log("chat").append("message", "two");
    await settle();
    expect(text()).toBe("one,two");
    expect(server.of("sub")).toMatchObject([{ s: "chat", last: 30 }]);
  });

  it("gives the whole snapshot without a selection, the same until something changes", async () => {
    const seen = new Set<SessionSnapshot>();
    function Whole() {
      const snapshot = useSession(client, "chat");
      seen.add(snapshot);
      return <p>{snapshot.status}</p>;
    }
    await connected();
    await show(<Whole />);
    expect(text()).toBe("live");
    const before = seen.size;
    await show(<Whole />);
    expect(seen.size).toBe(before);
  });

  it("subscribes once in strict mode, and for any number of components", async () => {
    await connected();
    await show(
      <StrictMode>
        <Chat />
        <Chat />
      </StrictMode>,
    );
    await act(() => vi.advanceTimersByTime(5_000));
    expect(server.of("sub")).toHaveLength(1);
    expect(server.of("unsub")).toHaveLength(0);
  });

  it("ends the reading when the last component has gone for a while, not before", async () => {
    await connected();
    await show(<Chat />);
    await show(null);
    vi.advanceTimersByTime(900);
    await show(<Chat key="another" />);
    vi.advanceTimersByTime(5_000);
    expect(server.of("unsub")).toHaveLength(0);
    await show(null);
    vi.advanceTimersByTime(1_000);
    await settle();
    expect(server.of("unsub")).toMatchObject([{ s: "chat" }]);
    expect(server.of("sub")).toHaveLength(1);
  });

  it("follows the id", async () => {
    server.log("a").append("message", "of a");
    server.log("b").append("message", "of b");
    await connected();
    await show(<Chat id="a" />);
    await show(<Chat id="b" />);
    expect(text()).toBe("of b");
    await show(<Chat id="a" />);
    expect(text()).toBe("of a");
    expect(server.of("sub")).toHaveLength(2);
  });

  it("lets those that linger go where there are many, so that the limit of a connection is not theirs", async () => {
    await connected();
    for (let n = 0; n < 150; n++) await show(<Chat id={`chat-${n}`} />);
    expect(server.of("sub")).toHaveLength(150);
  });

  it("renders again only who shows what has changed", async () => {
    const renders: Record<string, number> = { list: 0, entry: 0, status: 0 };
    const Entry = memo(({ offset }: { readonly offset: number }) => {
      const entry = useSession(client, "chat", { select: (s) => s.entries.find((e) => e.offset === offset) });
      if (entry?.kind === "run") renders["entry"]!++;
      return <p>{entry?.kind === "run" ? entry.text : ""}</p>;
    });
    function List() {
      renders["list"]!++;
      const offsets = useSession(client, "chat", { select: (s) => s.entries.map((e) => e.offset) });
      return offsets.map((offset) => <Entry key={offset} offset={offset} />);
    }
    function Light() {
      renders["status"]!++;
      return useStatus(client, ({ state }) => state);
    }
    server.log("chat").append("message", "hello");
    const run = server.log("chat").openRun();
    await connected();
    await show([<List key="list" />, <Light key="light" />]);
    const { list, entry, status } = renders;
    for (const d of ["to", "ken", "s"]) {
      server.log("chat").grow(run, { p: "", d });
      await settle();
    }
    expect(text()).toBe("tokenslive");
    expect(renders).toEqual({ list, entry: entry! + 3, status });
  });

  it("takes another selection at once", async () => {
    const Pick = ({ upper }: { readonly upper: boolean }) => (
      <p>{useSession(client, "chat", { select: (s) => (upper ? entries(s).toUpperCase() : entries(s)) })}</p>
    );
    server.log("chat").append("message", "one");
    await connected();
    await show(<Pick upper={false} />);
    await show(<Pick upper />);
    expect(text()).toBe("ONE");
  });

  it("hears signals, with the listener of the latest rendering", async () => {
    const heard: string[] = [];
    const Ear = ({ name }: { readonly name: string }) => {
      useSession(client, "chat", { onSignal: ({ data }) => heard.push(`${name} ${data}`) });
      return null;
    };
    await connected();
    await show(<Ear name="a" />);
    await show(<Ear name="b" />);
    server.say({ t: "signal", s: "chat", data: "typing" });
    await settle();
    expect(heard).toEqual(["b typing"]);
  });
});

describe("what a component does", () => {
  it("useSend sends, and its function stays the same", async () => {
    const functions = new Set<unknown>();
    function Composer() {
      const send = useSend(client, "chat");
      functions.add(send);
      return <button onClick={() => send("typed")}>{useStatus(client).state}</button>;
    }
    await show([<Composer key="1" />, <Chat key="2" />]);
    await connected();
    await act(() => place.querySelector("button")?.click());
    await settle();
    expect(text()).toBe("livetyped");
    expect(functions.size).toBe(1);
    expect(server.of("send")).toMatchObject([{ s: "chat", data: "typed" }]);
  });

  it("useSend sends where no component reads", async () => {
    let send: (data: unknown) => unknown = () => {};
    function Blind() {
      send = useSend(client, "other");
      return null;
    }
    await show(<Blind />);
    await connected();
    send("typed");
    await settle();
    expect(server.log("other").entries).toHaveLength(1);
  });

  it("useOlder gets what was before, and useSignal tells", async () => {
    for (let n = 1; n <= 5; n++) server.log("chat").append("message", n);
    const does: { older?: (limit?: number) => Promise<boolean>; signal?: (data: unknown) => void } = {};
    function Hands() {
      does.older = useOlder(client, "chat");
      does.signal = useSignal(client, "chat");
      return null;
    }
    await connected();
    await show([<Chat key="1" last={2} />, <Hands key="2" />]);
    expect(text()).toBe("4,5");
    const more = does.older?.(2);
    await settle();
    expect(await more).toBe(true);
    await settle();
    expect(text()).toBe("2,3,4,5");
    does.signal?.("typing");
    await settle();
    expect(server.of("signal")).toMatchObject([{ s: "chat", data: "typing" }]);
  });
});

describe("useStop", () => {
  it("asks for a stop, which an unmounted component does not", async () => {
    const run = server.log("chat").openRun();
    const does: { stop?: (target: { run: number }) => Promise<StopState> } = {};
    function Button() {
      does.stop = useStop(client, "chat");
      return null;
    }
    await connected();
    await show([<Chat key="1" />, <Button key="2" />]);
    await show(<Chat />);
    expect(server.of("stop")).toEqual([]);
    const stopped = does.stop?.({ run });
    await settle();
    expect(await stopped).toBe("requested");
    expect(server.of("stop")).toMatchObject([{ s: "chat", run }]);
  });
});

describe("on a server", () => {
  function App() {
    return (
      <>
        <Chat />
        <i>{useStatus(client).state}</i>
      </>
    );
  }

  it("renders what there is before anything has come, and opens nothing", () => {
    expect(renderToString(<App />)).toBe("<p></p><i>idle</i>");
    expect(client.stats.dials).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is what the browser begins with, though it may have more already", async () => {
    server.log("chat").append("message", "one");
    await connected();
    await show(<Chat />);
    const other = document.createElement("div");
    other.innerHTML = renderToString(<App />);
    const errors = vi.fn();
    const second = await act(() => hydrateRoot(other, <App />, { onRecoverableError: errors }));
    await settle();
    expect(errors).not.toHaveBeenCalled();
    expect(other.textContent).toBe("onelive");
    await act(() => second.unmount());
  });
});
