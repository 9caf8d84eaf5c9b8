import { Client, type ClientOptions, HoldfastError, keepLog, type Session } from "@holdfast/client";
import { clock, type Harness, type Harnessed } from "./harness.ts";
import type { Message } from "./report.ts";
import { optional } from "./optional.ts";

/** Our client as an application uses it: the public interface, and a page that renders what is new. */
export function ours(harness: Harness): Harnessed {
  const { host, path, sessions, ours = {} } = harness.config;
  const url = `ws://${host}${path}`;
  let latest: string | undefined;
  const token = async () => (latest = await askToken());
  const options: ClientOptions = { url, token, log: keepLog, ...optional(ours, { url, token: () => latest }) };
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
    send(session: string, text: string) {
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
    burst(session: string, who: string, count: number) {
      // The page's own number outlives reloads as the messages must.
      let n = Number(sessionStorage.getItem("rig:sent") ?? 0);
      for (let i = 0; i < count; i++) {
        open.get(session)?.send({ text: `${who}:${++n}` });
        sessionStorage.setItem("rig:sent", String(n));
      }
    },
    status: () => client.status,
    stats: () => client.stats,
    retry: () => client.retryNow(),
    disconnect: () => client.disconnect(),
    entries: (session: string) => open.get(session)?.entries,
    log: () => client.log?.records ?? [],
  };
}

/** The application's backend mints tokens; it may be slow, and it may refuse. */
async function askToken(): Promise<string> {
  const answer = await fetch(`/token${location.search}`, { method: "POST" });
  if (answer.status === 401) throw new HoldfastError("unauthorized", "sign in again");
  if (!answer.ok) throw new Error(`the token's source answers ${answer.status}`);
  return answer.text();
}

/** Renders as a page would, after each change, and notes what stands behind what was there before. */
function watch(harness: Harness, session: Session): void {
  let shown = 0;
  session.subscribe(() => {
    const { entries } = session;
    let from = entries.length;
    while (from > 0 && (entries[from - 1]?.offset ?? 0) > shown) from--;
    const added = entries.slice(from);
    for (const { offset, data } of added) {
      if (offset <= shown) harness.fault(`offset ${offset} after ${shown}`);
      shown = offset;
      if (isMessage(data)) harness.got(session.id, data);
    }
    if (added.length) harness.rendered(added.length);
  });
}

const isMessage = (data: unknown): data is Message => typeof data === "object" && data !== null && "n" in data;
