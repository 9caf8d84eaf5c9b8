import { describe, expect, it } from "vitest";
import { SharedToken } from "../../src/tabs/shared-token.ts";
import { Token } from "../../src/token.ts";
import { World } from "./world.ts";

/** One tab's token, where the lock is given to whoever asks. */
function stage() {
  const asked: string[] = [];
  const own = new Token(() => asked[asked.push(`own ${asked.length + 1}`) - 1] ?? "");
  const token = new SharedToken({
    env: { now: () => 0, timer: () => () => {} },
    siblings: {
      lock: (_, __, { got }) => {
        got();
        return () => {};
      },
    },
    name: "token",
    own,
    came: () => {},
  });
  return { token, asked, hear: (heard: string) => token.hear(heard) };
}

/** The backend takes back all tokens that were given so far. */
function revoke(world: World): void {
  const revoked = world.tokens;
  const number = (token: string) => (JSON.parse(atob(token.split(".")[1] ?? "")) as { n: number }).n;
  world.server.refuses = (token) => (number(token) <= revoked ? 4501 : undefined);
  for (const conn of world.server.attached) conn.end(4501, "revoked");
}

describe("a token that was heard of another tab", () => {
  it("is worth nothing once a later one is refused: the application is asked", async () => {
    const world = new World();
    const one = await world.open();
    await world.advance(500);
    const two = await world.open({ visible: false });
    await world.advance(500);
    one.hide();
    await world.advance(500);
    two.show();
    await world.advance(500);
    expect([world.tokens, two.sockets.size]).toEqual([2, 1]);
    revoke(world);
    await world.advance(2_000);
    expect([one.state, two.state, world.tokens]).toEqual(["live", "live", 3]);
  });

  it("still serves if it was heard after the refusal", async () => {
    const { token, hear, asked } = stage();
    expect(await token.fetch(0)).toBe("own 1");
    hear("heard before");
    token.lasts(0);
    hear("heard after");
    expect([await token.fetch(0), asked.length]).toEqual(["heard after", 1]);
    hear("heard before");
    token.lasts(0);
    expect([await token.fetch(0), asked.length]).toEqual(["own 2", 2]);
  });
});
