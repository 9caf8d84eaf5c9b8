// @vitest-environment happy-dom
import type { Client, Status } from "@holdfast/client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { HoldfastStatus } from "../src/index.ts";

/** As much of a client as the element needs; a test says what its status is. */
class FakeClient {
  status: Status = { state: "idle", since: Date.now() };
  readonly listeners = new Set<(status: Status) => void>();
  readonly retryNow = vi.fn();
  readonly connect = vi.fn();

  onStatus(listener: (status: Status) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  is(state: Status["state"], more: Partial<Status> = {}): void {
    this.status = { state, since: Date.now(), ...more };
    for (const listener of this.listeners) listener(this.status);
  }
}

let client: FakeClient;
let element: HoldfastStatus;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_790_000_000_000 });
  client = new FakeClient();
  element = document.createElement("holdfast-status");
  element.client = client as unknown as Client;
  document.body.append(element);
});

afterEach(() => {
  document.body.replaceChildren();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const part = (name: string, of: HTMLElement = element) => {
  const found = of.shadowRoot?.querySelector<HTMLElement>(`[part=${name}]`);
  if (!found) throw new Error(`no part ${name}`);
  return found;
};
const said = () => part("label").textContent;
const pass = (ms: number) => vi.advanceTimersByTime(ms);

function look(visible: boolean): void {
  vi.spyOn(document, "visibilityState", "get").mockReturnValue(visible ? "visible" : "hidden");
  document.dispatchEvent(new Event("visibilitychange"));
}

describe("<holdfast-status>", () => {
  it("says each state in words, and marks it for styles", () => {
    client.is("live");
    expect([said(), element.getAttribute("state")]).toEqual(["Live", "live"]);
    client.is("idle");
    expect(said()).toBe("Disconnected");
    client.is("asleep");
    expect(said()).toBe("Paused");
    client.is("ended", { reason: "signed out", code: 4501 });
    expect(said()).toBe("Ended: signed out");
    expect(part("button").hidden).toBe(true);
  });

  it("shows nothing of a cut that is over in a moment", () => {
    client.is("live");
    const changed = vi.spyOn(element, "setAttribute");
    client.is("offline", { retryAt: Date.now() + 100 });
    pass(100);
    client.is("connecting");
    pass(600);
    client.is("catching-up");
    pass(90);
    client.is("live");
    pass(60_000);
    expect(new Set(changed.mock.calls.filter(([name]) => name === "state").map(([, value]) => value))).toEqual(
      new Set(["live"]),
    );
  });

  it("says that it connects, then that it is offline and when it tries again, with a button", () => {
    client.is("live");
    client.is("offline", { retryAt: Date.now() + 9_500 });
    pass(799);
    expect(said()).toBe("Live");
    pass(1);
    expect(said()).toBe("Connecting");
    expect(element.hasAttribute("busy")).toBe(true);
    pass(4_200);
    expect([said(), part("detail").textContent]).toEqual(["Offline", "next try in 5 s"]);
    expect(element.hasAttribute("busy")).toBe(false);
    pass(500);
    expect(part("detail").textContent).toBe("next try in 4 s");
    pass(1_000);
    expect(part("detail").textContent).toBe("next try in 3 s");
    part("button").click();
    expect(client.retryNow).toHaveBeenCalledOnce();
    client.is("connecting");
    pass(2_000);
    expect([said(), part("detail").textContent]).toEqual(["Offline", "trying"]);
    client.is("live");
    expect([said(), part("button").hidden, part("detail").hidden]).toEqual(["Live", true, true]);
  });

  it("says that it is catching up when that takes a while", () => {
    client.is("live");
    client.is("catching-up");
    pass(300);
    expect(said()).toBe("Catching up");
    expect(element.hasAttribute("busy")).toBe(true);
  });

  it("reads out the words of a state, not the countdown", () => {
    client.is("live");
    client.is("offline", { retryAt: Date.now() + 60_000 });
    pass(10_000);
    expect(part("label").getAttribute("role")).toBe("status");
    expect(part("label").getAttribute("aria-live")).toBe("polite");
    const spoken = vi.fn();
    const observer = new MutationObserver(spoken);
    observer.observe(part("label"), { childList: true, characterData: true, subtree: true });
    pass(10_000);
    expect(observer.takeRecords()).toEqual([]);
    expect(part("detail").closest("[role=status]")).toBeNull();
  });

  it("shows whoever comes back no trouble that is over at once", () => {
    client.is("live");
    look(false);
    client.is("offline", { retryAt: Date.now() + 60_000 });
    pass(50_000);
    expect(said()).toBe("Live");
    expect(vi.getTimerCount()).toBe(0);
    look(true);
    client.is("connecting");
    pass(700);
    expect(said()).toBe("Live");
    client.is("live");
    pass(5_000);
    expect(said()).toBe("Live");
  });

  it("shows trouble that lasts from when somebody looks", () => {
    client.is("live");
    look(false);
    client.is("offline", { retryAt: Date.now() + 60_000 });
    pass(50_000);
    look(true);
    pass(800);
    expect(said()).toBe("Connecting");
    pass(4_200);
    expect(said()).toBe("Offline");
  });

  it("offers to take the connection back from another page", () => {
    client.is("ended", { reason: "another connection", code: 4502 });
    expect([part("button").textContent, part("button").hidden]).toEqual(["Use here", false]);
    part("button").click();
    expect(client.connect).toHaveBeenCalledOnce();
    expect(client.retryNow).not.toHaveBeenCalled();
  });

  it("speaks the page's language", () => {
    element.words = { live: "Verbunden", next: (s) => `in ${s} s`, retry: "Jetzt", offline: "Getrennt" };
    client.is("live");
    expect(said()).toBe("Verbunden");
    client.is("offline", { retryAt: Date.now() + 8_000 });
    pass(5_000);
    expect(element.shadowRoot?.textContent).toContain("Getrenntin 3 sJetzt");
  });

  it("listens while it is in the page, and not before or after", () => {
    expect(client.listeners.size).toBe(1);
    element.remove();
    expect(client.listeners.size).toBe(0);
    client.is("live");
    pass(10_000);
    expect(vi.getTimerCount()).toBe(0);
    document.body.append(element);
    expect(said()).toBe("Live");
    expect(client.listeners.size).toBe(1);
  });

  it("follows another client, and none", () => {
    const other = new FakeClient();
    other.is("live");
    element.client = other as unknown as Client;
    expect([client.listeners.size, other.listeners.size, said()]).toEqual([0, 1, "Live"]);
    element.client = undefined;
    expect([other.listeners.size, element.getAttribute("state")]).toEqual([0, ""]);
  });

  it("takes what a page has set before the element was defined", () => {
    client.is("live");
    const early = document.createElement("holdfast-status");
    // As a plain object's property, which is what it is on an element that is not defined yet.
    for (const [name, value] of Object.entries({ client, words: { live: "Da" } })) {
      Object.defineProperty(early, name, { value, writable: true, configurable: true, enumerable: true });
    }
    document.body.append(early);
    expect(part("label", early).textContent).toBe("Da");
    expect(early.client).toBe(client);
    expect(Object.hasOwn(early, "client")).toBe(false);
  });

  it("is defined once, whoever imports it again", async () => {
    vi.resetModules();
    await import("../src/index.ts");
    expect(customElements.get("holdfast-status")).toBe(HoldfastStatus);
  });
});
