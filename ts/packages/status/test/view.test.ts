import { describe, expect, it } from "vitest";
import { type Situation, view } from "../src/view.ts";

const at = (state: Situation["state"], trouble: number, shown: Situation["shown"] = "live", since = trouble) =>
  view({ state, shown, since, trouble });

describe("what is shown", () => {
  it.each(["live", "idle", "asleep", "ended"] as const)("is %s at once", (state) => {
    expect(at(state, 0, "connecting")).toEqual({ shown: state });
  });

  it("is what was, until an attempt takes longer than a blink", () => {
    expect(at("connecting", 0)).toEqual({ shown: "live", again: 800 });
    expect(at("connecting", 799)).toEqual({ shown: "live", again: 1 });
    expect(at("connecting", 800)).toEqual({ shown: "connecting" });
    expect(at("connecting", 100, "")).toEqual({ shown: "", again: 700 });
  });

  it("is catching up when that takes longer than a blink", () => {
    expect(at("catching-up", 299)).toEqual({ shown: "live", again: 1 });
    expect(at("catching-up", 5_000, "offline", 10)).toEqual({ shown: "offline", again: 290 });
    expect(at("catching-up", 300)).toEqual({ shown: "catching-up" });
  });

  it("is offline after five seconds of trouble, and says before that it is connecting", () => {
    expect(at("offline", 0)).toEqual({ shown: "live", again: 800 });
    expect(at("offline", 800)).toEqual({ shown: "connecting", again: 4_200 });
    expect(at("offline", 4_999, "connecting")).toEqual({ shown: "connecting", again: 1 });
    expect(at("offline", 5_000, "connecting")).toEqual({ shown: "offline" });
  });

  it("stays offline over the attempts of a long outage", () => {
    expect(at("connecting", 9_000, "offline")).toEqual({ shown: "offline" });
    expect(at("connecting", 9_000, "connecting")).toEqual({ shown: "connecting" });
    expect(at("offline", 1_000, "offline")).toEqual({ shown: "offline", again: 4_000 });
  });
});
