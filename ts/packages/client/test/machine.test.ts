import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { deadline, INITIAL, step } from "../src/connection-state.ts";
import type { Event, State } from "../src/connection-types.ts";
import { said } from "./world.ts";

/**
 * The machine as traces, for every implementation of it: after each event the name of the state, the effects, and when
 * the timer is due, in ms since the beginning. With UPDATE=1 the traces are written anew, for a person to read.
 */
interface Step {
  /** When, in ms since the beginning of the scenario. */
  readonly at: number;
  readonly event: Event;
  readonly random?: number;
  state?: State["name"];
  effects?: string;
  due?: number | null;
}

interface Scenario {
  readonly name: string;
  readonly steps: Step[];
}

const T0 = 1_790_000_000_000;
const file = new URL("../../../../client/testdata/machine.json", import.meta.url);
const golden = JSON.parse(readFileSync(file, "utf8")) as { readonly about: string; readonly scenarios: Scenario[] };
const update = process.env["UPDATE"] !== undefined;

function run(steps: readonly Step[]): Required<Step>[] {
  let state = INITIAL;
  return steps.map((given) => {
    const { at, event, random = 0.5 } = given;
    const next = step(state, event, { now: T0 + at, random });
    state = next.state;
    const due = deadline(state);
    // Fractions of a ms are nobody's business.
    return {
      ...given,
      random,
      state: state.name,
      effects: said(next.effects),
      due: due === undefined ? null : Math.round(due - T0),
    };
  });
}

if (update) {
  for (const { steps } of golden.scenarios) {
    run(steps).forEach(({ state, effects, due }, i) => Object.assign(steps[i] ?? {}, { state, effects, due }));
  }
  const scenarios = golden.scenarios.map(({ name, steps }) => {
    const lines = steps.map((it) => `        ${JSON.stringify(it)}`).join(",\n");
    return `    {\n      "name": ${JSON.stringify(name)},\n      "steps": [\n${lines}\n      ]\n    }`;
  });
  const text = `{\n  "about": ${JSON.stringify(golden.about)},\n  "scenarios": [\n${scenarios.join(",\n")}\n  ]\n}\n`;
  writeFileSync(file, text);
}

describe("the machine's traces", () => {
  it.each(golden.scenarios)("$name", ({ steps }) => {
    for (const [i, it] of run(steps).entries()) {
      const { state, effects, due } = steps[i] ?? {};
      expect({ i, state: it.state, effects: it.effects, due: it.due }).toEqual({ i, state, effects, due });
    }
  });

  it("have each event in each state", () => {
    const events: { readonly [E in Event["type"]]: true } = {
      connect: true,
      disconnect: true,
      retry: true,
      wake: true,
      hidden: true,
      sleep: true,
      suspect: true,
      stable: true,
      gate: true,
      unauthorized: true,
      opened: true,
      ready: true,
      welcomed: true,
      heard: true,
      pong: true,
      sent: true,
      move: true,
      closed: true,
      timer: true,
    };
    const states: { readonly [S in State["name"]]: true } = {
      idle: true,
      dialing: true,
      attaching: true,
      live: true,
      doubt: true,
      waiting: true,
      asleep: true,
      ended: true,
    };
    const seen = new Set<string>();
    for (const { steps } of golden.scenarios) {
      let before: State["name"] = "idle";
      for (const { event, state } of steps) {
        seen.add(`${before} ${event.type}`);
        before = state ?? before;
      }
    }
    const missing = Object.keys(states).flatMap((s) => Object.keys(events).map((e) => `${s} ${e}`));
    expect(missing.filter((pair) => !seen.has(pair))).toEqual([]);
  });
});
