import { type RunStop, stopFrom, stopTold } from "./entry.ts";
import type { Session, SessionSnapshot } from "./session.ts";
import type { StopState } from "./wire.ts";

/** What is to stop: a run, or the answer to a message, also one that has not begun; both by their offset. */
export type StopTarget = { readonly run: number } | { readonly answers: number };

/**
 * Asks for a run to stop, for everybody. Resolves once the server has written that down, with how it stands: mostly
 * "requested", "too_late" if the run had ended. What becomes of it is in the run's `stop`, on all devices. It is asked again
 * over every reconnect, and harmless to ask twice: there is one stop of a run. Rejects by code, "forbidden" where the token
 * does not grant it.
 */
export async function stop(session: Session, target: StopTarget): Promise<StopState> {
  const { state } = await session.command({ t: "stop", ...target });
  return (state ?? "requested") as StopState;
}

/** How the stop of a run or of the answer to a message stands, if anybody has asked for one; also where no run has begun. */
export function stopOf({ entries }: Pick<SessionSnapshot, "entries">, target: StopTarget): RunStop | undefined {
  const means = (at: { readonly offset?: number; readonly run?: number; readonly answers?: number | undefined }) =>
    "run" in target ? (at.offset ?? at.run) === target.run : at.answers === target.answers;
  const runs = entries.filter((entry) => entry.kind === "run" && means(entry));
  const run = runs.at(-1);
  if (run?.kind === "run") return run.stop;
  const told = entries
    .map(stopTold)
    .filter((it) => it !== undefined && means(it))
    .at(-1);
  return told && stopFrom(told);
}
