// @vitest-environment happy-dom
import type { RunStop } from "@holdfast/client";
import { describe, expect, it } from "vitest";
import { StopView, WaitingView } from "../src/stop-view.ts";

const stop = (state: RunStop["state"], user = "anna"): RunStop => ({ id: "s1", user, client: "c", state });

function view(ask: () => Promise<unknown> = () => Promise.resolve()) {
  const made = new StopView("anna", ask);
  const button = made.root.querySelector("button") as HTMLButtonElement;
  return { made, button, words: () => made.root.querySelector(".note")?.textContent };
}

describe("a Stop button", () => {
  it.each([
    ["requested", "open", "", "Stopping, as you asked"],
    ["stopped", "ended", "Stopped.", "Stopped by you."],
    ["too_late", "ended", "", "The stop by you came too late."],
    ["too_late", "ended", "The answer failed.", "The answer failed. The stop by you came too late."],
    ["unreachable", "ended", "Stopped.", "Stopped by you, and by the server: the writer did not answer."],
    ["unreachable", "none", "", "Stopped by you before anybody began to answer."],
  ] as const)("says %s of one that is %s", (state, target, ending, words) => {
    const it = view();
    it.made.show(target, stop(state), ending);
    expect([it.button.hidden, it.words()]).toEqual([true, words]);
  });

  it("tells who asked", () => {
    const it = view();
    it.made.show("ended", stop("stopped", "bert"));
    expect(it.words()).toBe("Stopped by somebody else.");
    it.made.show("ended", stop("stopped", ""));
    expect(it.words()).toBe("Stopped by the backend.");
  });

  it("is pressed once, and can be pressed again where it was refused", async () => {
    let refuse = (_: Error) => {};
    const it = view(() => new Promise((_, reject) => (refuse = reject)));
    it.made.show("open", undefined);
    expect([it.button.hidden, it.made.root.hidden]).toEqual([false, false]);
    it.button.click();
    it.made.show("open", undefined);
    expect([it.button.hidden, it.words()]).toEqual([true, "Stopping"]);
    refuse(new Error("not yours"));
    await Promise.resolve();
    await Promise.resolve();
    expect([it.button.hidden, it.words()]).toEqual([false, "Not stopped: not yours"]);
  });

  it("is gone where there is nothing to say", () => {
    const it = view();
    it.made.show("ended", undefined);
    expect(it.made.root.hidden).toBe(true);
  });

  it("is there before there is an answer", () => {
    const waiting = new WaitingView("anna", () => Promise.resolve());
    waiting.show(undefined);
    expect(waiting.root.querySelector("button")?.hidden).toBe(false);
    waiting.show(stop("requested"));
    expect(waiting.root.textContent).toContain("Stopping, as you asked");
  });
});
