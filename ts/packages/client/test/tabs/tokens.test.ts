import { describe, expect, it, vi } from "vitest";
import { HoldfastError } from "../../src/errors.ts";
import { SharedToken } from "../../src/tabs/shared-token.ts";
import { Token } from "../../src/token.ts";
import { tokenOf } from "./server.ts";
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

describe("the first token of a tab", () => {
  it("is not waited for for ever: a connection of its own asks again, and is left for the others'", async () => {
    const world = new World();
    let asked = 0;
    const token = () => (++asked > 1 ? tokenOf("anna", ++world.tokens) : new Promise<string>(() => {}));
    const tab = await world.open({ token });
    await world.advance(6_000);
    expect(asked).toBe(1);
    // The network is back. The first question is given up after 10 s.
    await world.advance(5_000);
    tab.signal("online");
    await world.advance(500);
    expect([tab.state, asked]).toEqual(["live", 2]);
    const other = await world.open();
    await world.advance(15_000);
    expect([tab.state, other.state, world.server.attached.length]).toEqual(["live", "live", 1]);
  });

  it("may fail: tabs that were opened while there was no network share a connection afterwards", async () => {
    const world = new World();
    let online = false;
    const token = async () => {
      if (!online) throw new TypeError("no network");
      return tokenOf("anna", ++world.tokens);
    };
    const all = [await world.open({ token }), await world.open({ token }), await world.open({ token })];
    await world.advance(3_000);
    expect(world.server.attaches).toBe(0);
    online = true;
    for (const tab of all) tab.signal("online");
    await world.advance(40_000);
    expect(all.map((tab) => tab.state)).toEqual(["live", "live", "live"]);
    expect(world.server.attached.length).toBe(1);
  });

  it("that only signing in can bring is not asked for again", async () => {
    const world = new World();
    let asked = 0;
    const token = () => {
      asked++;
      throw new HoldfastError("unauthorized", "sign in");
    };
    const tab = await world.open({ token });
    await world.advance(1_000);
    const before = asked;
    await world.advance(120_000);
    expect([tab.state, asked]).toEqual(["ended", before]);
  });

  it("is looked for no more often because the tab was shown many times meanwhile", async () => {
    const askedAfter = async (times: number) => {
      const world = new World();
      let asked = 0;
      const token = async () => {
        asked++;
        throw new TypeError("no network");
      };
      const tab = await world.open({ token });
      for (let i = 0; i < times; i++) {
        tab.hide();
        await world.advance(100);
        tab.show();
        await world.advance(400);
      }
      asked = 0;
      await world.advance(120_000);
      return asked;
    };
    expect(await askedAfter(20)).toBeLessThan((await askedAfter(1)) + 10);
  });
});

describe("a tab that was alone for a while", () => {
  it("looks for the others when it is told to connect again", async () => {
    const world = new World();
    const token = async () => {
      if (world.clock < start + 1_000) throw new TypeError("no network");
      return tokenOf("anna", ++world.tokens);
    };
    const start = world.clock;
    const [one, two] = [await world.open({ token }), await world.open()];
    await world.advance(5_000);
    expect(world.server.attached.length).toBe(2);
    one.client.disconnect();
    await world.advance(1_000);
    one.client.connect();
    await world.advance(1_000);
    expect([one.state, two.state, world.server.attached.length]).toEqual(["live", "live", 1]);
  });
});
