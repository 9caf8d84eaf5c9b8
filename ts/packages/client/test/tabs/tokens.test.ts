import { describe, expect, it, vi } from "vitest";
import { SharedToken } from "../../src/tabs/shared-token.ts";
import { Token } from "../../src/token.ts";
import { World } from "./world.ts";

/** One tab's token, where the lock is given to whoever asks. */
function stage(source?: () => Promise<string>) {
  const asked: string[] = [];
  const locks: { released: boolean }[] = [];
  const at = { clock: 0 };
  const own = new Token(source ?? (() => asked[asked.push(`own ${asked.length + 1}`) - 1] ?? ""));
  const token = new SharedToken({
    env: { now: () => at.clock, timer: () => () => {} },
    siblings: {
      lock: (_, __, { got }) => {
        const lock = { released: false };
        locks.push(lock);
        got();
        return () => {
          lock.released = true;
        };
      },
    },
    name: "token",
    own,
    came: () => {},
  });
  return { token, asked, locks, at, hear: (heard: string) => token.hear(heard) };
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

describe("the question for a token", () => {
  it("that is asked again gives up the turn that it had, and each ends its own", async () => {
    const answers: ((token: string) => void)[] = [];
    const { token, locks, at } = stage(() => new Promise((resolve) => answers.push(resolve)));
    const released = () => locks.map((lock) => lock.released);
    const first = token.fetch(at.clock);
    await vi.waitFor(() => expect(answers.length).toBe(1));
    at.clock = 10_000;
    const second = token.fetch(at.clock);
    await vi.waitFor(() => expect(answers.length).toBe(2));
    expect(released()).toEqual([true, false]);
    answers[0]?.("late");
    expect(await first).toBe("late");
    expect(released()).toEqual([true, false]);
    answers[1]?.("asked again");
    expect(await second).toBe("asked again");
    expect(released()).toEqual([true, true]);
  });
});
