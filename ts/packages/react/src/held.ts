import type { Client, Session, SessionOptions } from "@holdfast/client";

interface Held {
  readonly session: Session;
  users: number;
  ends: ReturnType<typeof setTimeout> | undefined;
}

/**
 * How long a session that no component reads any more is still read, in ms: strict mode mounts twice, a change of routes
 * unmounts before it mounts, and people go back at once. None of it shall be a subscription on the wire.
 */
const LINGER = 1_000;

/** Of how many sessions a client may have open (100), how many may be those that linger. */
const MANY = 50;

const clients = new WeakMap<Client, Map<string, Held>>();

function heldBy(client: Client): Map<string, Held> {
  const held = clients.get(client) ?? new Map<string, Held>();
  clients.set(client, held);
  return held;
}

/** The session, if a component reads it; to look is no use of it, so that rendering stays without effects. */
export function peek(client: Client, id: string): Session | undefined {
  return clients.get(client)?.get(id)?.session;
}

/** Reads a session until the function that it returns with it is called. */
export function hold(client: Client, id: string, options?: SessionOptions): readonly [Session, () => void] {
  const all = heldBy(client);
  const end = (id: string, { session, ends }: Held) => {
    clearTimeout(ends);
    all.delete(id);
    session.close();
  };
  if (all.size >= MANY) for (const [id, it] of all) if (!it.users) end(id, it);
  const held = all.get(id) ?? { session: client.session(id, options), users: 0, ends: undefined };
  all.set(id, held);
  held.users++;
  clearTimeout(held.ends);
  const release = () => {
    if (!--held.users) held.ends = setTimeout(() => end(id, held), LINGER);
  };
  return [held.session, release];
}
