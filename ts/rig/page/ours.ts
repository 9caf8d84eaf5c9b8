import { Client, type ClientOptions, type Entry, HoldfastError, type Session } from "@holdfast/client";
import { clock, type Harness, type Harnessed } from "./harness.ts";
import type { Message } from "./report.ts";
import { optional } from "./optional.ts";

/** Our client as an application uses it: the public interface, and a page that renders what is new. */
export function ours(harness: Harness): Harnessed {
  const { host, path, sessions, ours = {} } = harness.config;
  const options: ClientOptions = { url: `ws://${host}${path}`, token: askToken, ...optional(ours) };
  const client = new Client(options);
  const sends: { text: string; at: number; done?: number }[] = [];
  client.onStatus(({ state }) => harness.status(state));
  const open = new Map<string, Session>(sessions.map((id) => [id, client.session(id)]));
  for (const session of open.values()) watch(harness, session);
  client.connect();
  return {
    sends,
    unsent: () => [...open.values()].reduce((sum, { outbox }) => sum + outbox.length, 0),
    outcomes: () => Object.fromEntries([...open].map(([id, { outcome }]) => [id, outcome ?? ""])),
    client: () => client.clientId,
    send(session, text) {
      const send: (typeof sends)[number] = { text, at: clock() };
      sends.push(send);
      open
        .get(session)
        ?.send({ text })
        ?.done.then(
          () => (send.done = clock()),
          () => {},
        );
    },
    status: () => client.status,
    stats: () => client.stats,
    retry: () => client.retryNow(),
    disconnect: () => client.disconnect(),
    entries: (session: string) => open.get(session)?.entries,
    log: () => ("log" in client ? client.log : []),
  };
}

/** The application's backend mints tokens; it may be slow, and it may refuse. */
async function askToken(): Promise<string> {
  const answer = await fetch(`/token${location.search}`, { method: "POST" });
  if (answer.status === 401) throw new HoldfastError("unauthorized", "sign in again");
  if (!answer.ok) throw new Error(`the token's source answers ${answer.status}`);
  return answer.text();
}

/** Renders as a page would, after each change, and notes what was not there before. */
function watch(harness: Harness, session: Session): void {
  let shown = new Map<number, Entry>();
  session.subscribe(() => {
    const entries = new Map(session.entries.map((entry) => [entry.offset, entry]));
    let added = 0;
    for (const [offset, entry] of entries) {
      if (shown.has(offset)) continue;
      added++;
      if (isMessage(entry.data)) harness.got(session.id, entry.data);
    }
    shown = entries;
    if (added) harness.rendered(added);
  });
}

const isMessage = (data: unknown): data is Message => typeof data === "object" && data !== null && "n" in data;
