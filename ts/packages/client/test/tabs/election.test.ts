import { describe, expect, it } from "vitest";
import { decide, LEASE, MOMENT, type Sight } from "../../src/tabs/election.ts";
import { claimsOf } from "../../src/tabs/user.ts";

const now = 1_000_000;
const base: Sight = {
  now,
  visible: true,
  deaf: false,
  leading: false,
  granted: false,
  leader: undefined,
  vacant: 0,
  resigned: false,
  steals: [],
};
const leader = (visible: boolean, age: number) => ({ leader: { visible, at: now - age } });
const tired = { steals: [now - 50_000, now - 40_000, now - 30_000] };
const busy = { steals: [now - 9_999] };

describe("who leads", () => {
  it.each<[string, Partial<Sight>, string]>([
    ["a fresh leader that is seen", leader(true, LEASE), "follow"],
    ["a fresh one that is hidden", leader(false, 0), "steal"],
    ["a fresh one that is hidden, just after a steal", { ...leader(false, 0), ...busy }, "follow"],
    ["a stale one", leader(true, LEASE + 1), "steal"],
    ["a stale one, just after a steal", { ...leader(true, LEASE + 1), ...busy }, "alone"],
    ["a stale one, after three steals in a minute", { ...leader(true, LEASE + 1), ...tired }, "alone"],
    ["a lease from the future", leader(true, -LEASE - 1), "steal"],
    ["nobody", {}, "steal"],
    ["nobody for a moment yet", { vacant: now - MOMENT + 1 }, "wait"],
    ["nobody since one resigned", { vacant: now, resigned: true }, "steal"],
    ["nobody since one resigned, just after a steal", { vacant: now, resigned: true, ...busy }, "wait"],
    ["nobody, after three steals in a minute", tired, "alone"],
    ["nobody, from behind", { visible: false }, "wait"],
    ["nobody for a moment yet, from behind", { visible: false, vacant: now - MOMENT + 1 }, "follow"],
    ["a fresh leader, from behind", { visible: false, ...leader(false, 0) }, "follow"],
    ["a stale leader, from behind", { visible: false, ...leader(false, 60_000) }, "wait"],
    ["a leader, with its lock in hand", { granted: true, ...leader(true, 0) }, "lead"],
    ["the lock in hand, from behind", { visible: false, granted: true }, "lead"],
    ["itself", { leading: true, ...leader(true, 0) }, "lead"],
    ["the lock in hand, but unheard", { granted: true, deaf: true }, "alone"],
  ])("a tab that sees %s", (_, sight, verdict) => {
    expect(decide({ ...base, ...sight })).toBe(verdict);
  });
});

describe("who is signed in", () => {
  const token = (claims: object) =>
    `h.${btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(claims))))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replaceAll("=", "")}.s`;

  it("is the subject of the token, in any script", () => {
    expect(claimsOf(token({ sub: "жanna>?~", exp: 17 }))).toEqual({ user: "жanna>?~", expires: 17_000 });
    expect(claimsOf(token({ sub: "bert" }))?.expires).toBe(Number.POSITIVE_INFINITY);
  });

  it.each(["", "opaque", "a.b.c", token({}), token({ sub: "" }), token({ sub: 7 }), `x.${btoa("null")}.y`])(
    "is nobody for %j",
    (text) => {
      expect(claimsOf(text)).toBeUndefined();
    },
  );
});
