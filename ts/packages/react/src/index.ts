import { older, stop } from "@holdfast/client";
import type { Client, Sending, Session, SessionOptions, SessionSnapshot } from "@holdfast/client";
import type { Signal, Status, StopState, StopTarget } from "@holdfast/client";
import { useCallback, useEffect, useRef } from "react";
import { hold, peek } from "./held.ts";
import { useSelected } from "./selected.ts";

export { usePresence } from "./presence.ts";

export interface UseSessionOptions<T> extends SessionOptions {
  /**
   * What of the session the component shows: it renders again only when this has changed. It may be written in place, and
   * may return a new list each time. Default: all of it.
   */
  readonly select?: (snapshot: SessionSnapshot) => T;
  /** Whether two results of `select` are the same. Default: they are identical, or lists of identical things. */
  readonly equal?: (a: T, b: T) => boolean;
  /** Called with each signal, such as that somebody is typing. */
  readonly onSignal?: (signal: Signal) => void;
}

const NOTHING: SessionSnapshot = {
  entries: [],
  states: new Map(),
  outbox: [],
  status: "pending",
  outcome: undefined,
  error: undefined,
  hasOlder: false,
};

const IDLE: Status = { state: "idle", since: 0 };

const all = <T>(whole: unknown) => whole as T;

/**
 * Reads a session for as long as the component is mounted. Any number of components may read the same one; it is subscribed
 * to once, with the `last` and `rollup` of the first, and a while after the last has gone it is closed.
 */
export function useSession<T = SessionSnapshot>(client: Client, id: string, options: UseSessionOptions<T> = {}): T {
  const { last, rollup, select = all<T>, equal, onSignal } = options;
  const heard = useRef(onSignal);
  useEffect(() => {
    heard.current = onSignal;
  });
  const subscribe = useCallback(
    (changed: () => void) => {
      const [session, release] = hold(client, id, { last, rollup } as SessionOptions);
      const stops = [session.subscribe(changed), session.onSignal((signal) => heard.current?.(signal)), release];
      return () => {
        for (const stop of stops) stop();
      };
    },
    [client, id, last, rollup],
  );
  return useSelected(subscribe, () => peek(client, id)?.snapshot ?? NOTHING, NOTHING, select, equal);
}

/** How the connection is doing, or what `select` makes of it. */
export function useStatus<T = Status>(client: Client, select: (status: Status) => T = all<T>): T {
  const subscribe = useCallback((changed: () => void) => client.onStatus(changed), [client]);
  return useSelected(subscribe, () => client.status, IDLE, select);
}

/** A function that sends a message to a session. It stays the same, and to have it renders nothing again. */
export function useSend(client: Client, id: string): (data: unknown) => Sending {
  return useCallback((data) => using(client, id, (session) => session.send(data)), [client, id]);
}

/** A function that gets entries before the first, and tells whether there are still more. */
export function useOlder(client: Client, id: string): (limit?: number) => Promise<boolean> {
  return useCallback((limit) => using(client, id, (session) => older(session, limit)), [client, id]);
}

/** A function that asks for a run to stop, or the answer to a message. An unmounted component stops nothing. */
export function useStop(client: Client, id: string): (target: StopTarget) => Promise<StopState> {
  return useCallback((target) => using(client, id, (session) => stop(session, target)), [client, id]);
}

/** A function that tells whoever is connected, and keeps nothing. */
export function useSignal(client: Client, id: string): (data: unknown) => void {
  return useCallback((data) => using(client, id, (session) => session.signal(data)), [client, id]);
}

/** A session for one deed: that which components read, or one that is opened for it. */
function using<T>(client: Client, id: string, run: (session: Session) => T): T {
  const [session, release] = hold(client, id);
  try {
    return run(session);
  } finally {
    release();
  }
}
