import { describe, expect, it } from "vitest";
import { INITIAL } from "../../src/connection-state.ts";
import type { Lease } from "../../src/tabs/messages.ts";
import { Roster } from "../../src/tabs/roster.ts";
import { FakeEnv } from "../fake-env.ts";

const stats = { connection: "", user: "anna", dials: 1, welcomes: 1, received: 0, sent: 0, rtt: 0 };
const welcome = { t: "welcome", conn: "x1", user: "anna", now: 0, beat: 10_000, max: 1_000 } as const;

function roster() {
  const env = new FakeEnv();
  const lease = (tab: string, epoch: number, more: Partial<Lease> = {}): Lease => ({
    m: "lease",
    tab,
    epoch,
    visible: true,
    at: env.now(),
    state: INITIAL,
    stats,
    link: 1,
    told: 0,
    ...more,
  });
  return { env, lease, roster: new Roster(env) };
}

describe("of several leaders", () => {
  it("the one that is connected is followed, until a higher one is", () => {
    const { roster: all, lease } = roster();
    all.set(lease("old", 5, { welcome }));
    all.set(lease("new", 6));
    expect([all.best?.tab, all.incumbent?.tab]).toEqual(["old", "new"]);
    all.set(lease("new", 6, { welcome }));
    expect([all.best?.tab, all.of("old")]).toEqual(["new", undefined]);
    all.gone("new");
    expect(all.best).toBeUndefined();
  });

  it("the one that is seen is left in office, though a hidden one is connected", () => {
    const { roster: all, lease, env } = roster();
    all.set(lease("hidden", 7, { visible: false }));
    all.set(lease("seen", 6));
    expect(all.incumbent?.tab).toBe("seen");
    env.sleep(3_000);
    expect(all.incumbent?.tab).toBe("hidden");
  });

  it("one that does not answer is passed over for a while", () => {
    const { roster: all, lease, env } = roster();
    all.set(lease("mute", 7, { welcome }));
    all.mute("mute");
    expect([all.best, all.vacant]).toEqual([undefined, 0]);
    env.sleep(10_000);
    expect(all.best?.tab).toBe("mute");
  });

  it("the office is vacant since the last one left", () => {
    const { roster: all, lease, env } = roster();
    all.set(lease("one", 1));
    env.sleep(5_000);
    all.gone("one");
    expect(all.vacant).toBe(env.now());
  });
});
