// @vitest-environment happy-dom
import type { Answered, SessionRequest } from "@holdfast/client";
import { describe, expect, it, vi } from "vitest";
import { leftOf, RequestView, settledBy } from "../src/request-view.ts";

const open: SessionRequest = {
  offset: 7,
  id: "q",
  state: "open",
  to: [],
  at: 0,
  by: 90_000,
  data: { text: "Go on?" },
  default: true,
};
const settled = (state: SessionRequest["state"], data: unknown, user = ""): SessionRequest => ({
  ...open,
  state,
  settled: { offset: 8, at: 1, user, client: "", data },
});

function view(give: (request: SessionRequest, yes: boolean) => Promise<Answered> = () => new Promise(() => {})) {
  const made = new RequestView("anna", give);
  const [yes, no] = [...made.root.querySelectorAll("button")] as [HTMLButtonElement, HTMLButtonElement];
  return { made, yes, no, note: () => made.root.querySelector(".note")?.textContent };
}

describe("a question", () => {
  it("says how long there is to answer, and what then", () => {
    expect(leftOf(open, 0)).toBe("1:30 left to answer, then: Go on.");
    expect(leftOf({ ...open, default: false }, 85_001)).toBe("0:05 left to answer, then: Give up.");
    expect(leftOf(open, 200_000)).toBe("0:00 left to answer, then: Go on.");
  });

  it.each([
    [settled("answered", true, "anna"), "Go on, said you."],
    [settled("answered", false, "bert"), "Give up, said bert."],
    [settled("answered", "maybe"), '"maybe", said the backend.'],
    [settled("expired", true), "Nobody answered in time: Go on."],
    [settled("withdrawn", undefined), "No answer is needed any more."],
  ])("says how it was settled: %#", (request, words) => {
    expect(settledBy(request, "anna")).toBe(words);
    const it = view();
    it.made.show(open);
    it.made.show(request);
    expect([it.yes.hidden, it.no.hidden, it.note()]).toEqual([true, true, words]);
  });

  it("is answered once, and counts down meanwhile", () => {
    vi.useFakeTimers({ now: 0 });
    const give = vi.fn(() => new Promise<Answered>(() => {}));
    const it = view(give);
    expect(it.made.root.hidden).toBe(true);
    it.made.show(open);
    vi.advanceTimersByTime(2_000);
    expect([it.yes.hidden, it.note()]).toEqual([false, "1:28 left to answer, then: Go on."]);
    it.no.click();
    expect([it.yes.hidden, it.note(), give.mock.calls]).toEqual([true, "Sending your answer", [[open, false]]]);
    it.made.show(undefined);
    expect([it.made.root.hidden, vi.getTimerCount()]).toEqual([true, 0]);
    vi.useRealTimers();
  });

  it("can be answered again where the answer was refused", async () => {
    const it = view(() => Promise.reject(new Error("no")));
    it.made.show(open);
    it.yes.click();
    await vi.waitFor(() => expect(it.note()).toBe("Not answered: no"));
    expect(it.yes.hidden).toBe(false);
    it.made.show({ ...open, offset: 9, by: Date.now() + 60_000 });
    expect(it.note()).toContain("left to answer");
  });
});
