// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { browserEnv } from "../src/env/browser.ts";
import type { PageSignal, PipeEvents } from "../src/env/env.ts";

afterEach(() => vi.unstubAllGlobals());

function pageEvent(type: string, persisted: boolean): Event {
  return Object.assign(new Event(type), { persisted });
}

describe("signals", () => {
  const heard: PageSignal[] = [];
  let stop = () => {};
  beforeEach(() => {
    heard.length = 0;
    stop = browserEnv().signals((signal) => heard.push(signal));
  });
  afterEach(() => stop());

  it("say what happens to the page", () => {
    document.dispatchEvent(new Event("visibilitychange"));
    document.dispatchEvent(new Event("resume"));
    window.dispatchEvent(pageEvent("pagehide", true));
    window.dispatchEvent(pageEvent("pageshow", true));
    window.dispatchEvent(pageEvent("pagehide", false));
    window.dispatchEvent(pageEvent("pageshow", false));
    for (const name of ["focus", "online", "offline"]) window.dispatchEvent(new Event(name));
    expect(heard).toEqual([
      "visible",
      "resumed",
      "stored",
      "restored",
      "leaving",
      "shown",
      "focus",
      "online",
      "offline",
    ]);
  });

  it("end when they are told to", () => {
    stop();
    window.dispatchEvent(new Event("focus"));
    expect(heard).toEqual([]);
  });

  it("tell of another kind of network, not of another speed", () => {
    const connection = Object.assign(new EventTarget(), { type: "wifi" });
    vi.stubGlobal("navigator", { connection });
    const got: PageSignal[] = [];
    const end = browserEnv().signals((signal) => got.push(signal));
    connection.dispatchEvent(new Event("change"));
    connection.type = "cellular";
    connection.dispatchEvent(new Event("change"));
    connection.dispatchEvent(new Event("change"));
    end();
    connection.type = "wifi";
    connection.dispatchEvent(new Event("change"));
    expect(got).toEqual(["network"]);
  });
});

describe("fetch", () => {
  const answering = (answer: Response) => {
    const asked = vi.fn((_url: string, _request: RequestInit) => Promise.resolve(answer));
    vi.stubGlobal("fetch", asked);
    return asked;
  };

  it("asks past caches, without credentials, and within a time", async () => {
    const asked = answering(new Response(null, { status: 204 }));
    const answer = await browserEnv().fetch("https://host/ready", { method: "GET", timeout: 1_000 });
    expect(answer).toEqual({ status: 204, text: "" });
    expect(asked.mock.calls[0]?.[1]).toMatchObject({ method: "GET", cache: "no-store", credentials: "omit" });
    expect(asked.mock.calls[0]?.[1].signal).toBeDefined();
  });

  it("sends text that no browser asks permission for, and reads when to come again", async () => {
    const asked = answering(new Response("later", { status: 503, headers: { "retry-after": "7" } }));
    const request = { method: "POST", body: "{}", timeout: 1_000, keepalive: true } as const;
    expect(await browserEnv().fetch("https://host/report", request)).toEqual({
      status: 503,
      text: "later",
      after: 7_000,
    });
    const [, sent] = asked.mock.calls[0] ?? [];
    // A string goes as text/plain.
    expect([sent?.body, sent?.headers, sent?.keepalive]).toEqual(["{}", undefined, true]);
  });
});

describe("a socket", () => {
  it("takes a small hello along in the one header that a page may fill", () => {
    const protocols: string[][] = [];
    vi.stubGlobal(
      "WebSocket",
      class {
        constructor(_: string, offered: string[]) {
          protocols.push(offered);
        }
      },
    );
    const events: PipeEvents = { opened: vi.fn(), message: vi.fn(), closed: vi.fn() };
    const { open } = browserEnv();
    expect(open("wss://host/v1/ws/1", events, '{"t":"hello","token":"?>~"}').greeted).toBe(true);
    expect(open("wss://host/v1/ws/1", events, "x".repeat(3_001)).greeted).toBe(false);
    expect(open("wss://host/v1/ws/1", events, '{"t":"hello","client":"ü"}').greeted).toBe(false);
    const [small, large, beyond] = protocols;
    const said = small?.[1]?.replace(/^hello\./, "") ?? "";
    expect(said).toMatch(/^[\w-]+$/);
    expect(Buffer.from(said, "base64url").toString()).toBe('{"t":"hello","token":"?>~"}');
    expect([small?.[0], large, beyond]).toEqual(["holdfast.v1", ["holdfast.v1"], ["holdfast.v1"]]);
  });

  it("is let go of without a word, and without waiting for its end", () => {
    const sockets: { onclose: unknown; readonly closed: number[] }[] = [];
    class Socket {
      onopen: (() => void) | null = null;
      onmessage: ((event: { data: unknown }) => void) | null = null;
      onclose: ((event: { code: number; reason: string }) => void) | null = null;
      readonly closed: number[] = [];
      constructor(
        readonly url: string,
        readonly protocol: string,
      ) {
        sockets.push(this);
      }
      send(): void {}
      close(code: number): void {
        this.closed.push(code);
      }
    }
    vi.stubGlobal("WebSocket", Socket);
    const events: PipeEvents = { opened: vi.fn(), message: vi.fn(), closed: vi.fn() };
    const pipe = browserEnv().open("wss://host/v1/ws/1", events);
    const socket = sockets[0] as unknown as Socket;
    expect([socket.url, socket.protocol]).toEqual(["wss://host/v1/ws/1", ["holdfast.v1"]]);
    expect(pipe.greeted).toBe(false);
    socket.onopen?.();
    socket.onmessage?.({ data: "text" });
    socket.onmessage?.({ data: new ArrayBuffer(1) });
    socket.onclose?.({ code: 1006, reason: "gone" });
    expect(events.opened).toHaveBeenCalledOnce();
    expect(events.message).toHaveBeenCalledExactlyOnceWith("text");
    expect(events.closed).toHaveBeenCalledExactlyOnceWith(1006, "gone");
    pipe.drop();
    expect([socket.onopen, socket.onmessage, socket.onclose, socket.closed]).toEqual([null, null, null, [1000]]);
  });
});

describe("storage", () => {
  it("lasts as long as the tab, or as the page where the browser forbids it", () => {
    const { storage } = browserEnv();
    storage.set("k", "v");
    expect([storage.lasts, sessionStorage.getItem("k")]).toEqual(["tab", "v"]);
    vi.stubGlobal("sessionStorage", undefined);
    const without = browserEnv().storage;
    without.set("k", "other");
    expect([without.lasts, without.get("k")]).toEqual(["page", "other"]);
    const full = { getItem: () => null, removeItem: () => {}, setItem: vi.fn(() => expect.fail("there is no room")) };
    vi.stubGlobal("sessionStorage", full);
    const { storage: there } = browserEnv();
    there.set("k", "v");
    expect([there.lasts, there.get("k")]).toEqual(["page", "v"]);
    full.setItem.mockReturnValue(undefined as never);
    there.set("k", "v");
    expect(there.lasts).toBe("tab");
  });
});

describe("a phone", () => {
  it.each([
    ["Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/156.0 Mobile Safari/537.36", true],
    ["Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile Safari", true],
    ["Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/156.0 Safari/537.36", false],
  ])("is told by its name: %s", (userAgent, mobile) => {
    vi.stubGlobal("navigator", { userAgent });
    expect(browserEnv().mobile).toBe(mobile);
  });
});
