import { describe, expect, it } from "vitest";
import { type Tab, World } from "./world.ts";

/** Two windows side by side whose connection has ended, for a reason that lasts until `good`. */
async function ended(code: number) {
  const world = new World();
  const at = { good: false };
  const all: Tab[] = [];
  for (let i = 0; i < 2; i++) {
    all.push(await world.open());
    await world.advance(500);
  }
  world.server.refuses = () => (at.good ? undefined : code);
  for (const conn of world.server.attached) conn.end(code, "no");
  await world.advance(3_000);
  expect(all.map((tab) => tab.state)).toEqual(["ended", "ended"]);
  const attempts = () => all.reduce((sum, tab) => sum + tab.dials, 0);
  return { world, all, at, attempts };
}

describe("a page that is loaded while a leader that is seen was sent away", () => {
  it.each([4501, 4504, 4506])("connects, and the others with it (%d)", async (code) => {
    const { world, all, at } = await ended(code);
    at.good = true;
    await world.advance(10_000);
    expect(all.map((tab) => tab.state)).toEqual(["ended", "ended"]);
    all.push(await world.open());
    await world.advance(2_000);
    expect(all.map((tab) => tab.state)).toEqual(["live", "live", "live"]);
    expect(world.server.attached.length).toBe(1);
  });

  it("tries once, where that does not help either", async () => {
    const { world, all, attempts } = await ended(4504);
    const before = attempts();
    for (let i = 0; i < 3; i++) all.push(await world.open());
    await world.advance(120_000);
    expect(all.map((tab) => tab.state)).toEqual(Array(5).fill("ended"));
    expect(attempts() - before).toBeLessThanOrEqual(3);
    expect(world.server.attached.length).toBe(0);
  });

  it("does so when it is seen, and not before", async () => {
    const { world, all, at, attempts } = await ended(4504);
    at.good = true;
    const before = attempts();
    const hidden = await world.open({ visible: false });
    all.push(hidden);
    await world.advance(5_000);
    expect([hidden.state, attempts() - before]).toEqual(["ended", 0]);
    hidden.show();
    await world.advance(2_000);
    expect(all.map((tab) => tab.state)).toEqual(["live", "live", "live"]);
  });
});
