import { claim, Client, HoldfastError, placeOf, presenceOf, thisDevice } from "../packages/client/src/index.ts";
import { fallback } from "../packages/client/src/fallback/index.ts";
import { tabs } from "../packages/client/src/tabs/index.ts";

const query = new URLSearchParams(location.search);
const user = query.get("user") ?? "anna";
const url = new URL("/v1/ws", location.href);
url.protocol = "ws:";

async function token(): Promise<string> {
  const answer = await fetch(`/token?user=${user}&rule=${encodeURIComponent(query.get("rule") ?? "")}`);
  if (answer.status === 401) throw new HoldfastError("unauthorized", "only signing in would help");
  return answer.text();
}

const client = new Client({
  url: url.href,
  token,
  ...(query.has("windows") && { place: { ...thisDevice(), name: query.get("windows") || "a window", windows: true } }),
  carrier: fallback(),
  ...(query.has("own") ? {} : { link: tabs() }),
});
const chat = client.session(query.get("session") ?? "chat");
const states: string[] = [];

/** What this window is told of other people: "ben here", "ben away", "ben left", each with when. */
const seen: { readonly what: string; readonly at: number }[] = [];
const known = new Map<string, string>();
const presence = query.has("presence") ? presenceOf(chat) : undefined;
presence?.subscribe(() => {
  const now = new Map(presence.members.map(({ user, away }) => [user, away ? "away" : "here"]));
  for (const [who, state] of now) if (known.get(who) !== state) seen.push({ what: `${who} ${state}`, at: Date.now() });
  for (const who of known.keys()) if (!now.has(who)) seen.push({ what: `${who} left`, at: Date.now() });
  known.clear();
  for (const [who, state] of now) known.set(who, state);
});

client.onStatus(({ state }) => states.push(state));
/** The same with when, and with the code of an end; and of the session, how it is read. */
const statuses: { readonly state: string; readonly code: number | undefined; readonly at: number }[] = [];
client.onStatus(({ state, code }) => statuses.push({ state, code, at: Date.now() }));
const phases: { readonly phase: string; readonly code: string | undefined; readonly at: number }[] = [];
chat.subscribe(() => {
  const { status: phase, error } = chat.snapshot;
  if (phases.at(-1)?.phase !== phase) phases.push({ phase, code: error?.code, at: Date.now() });
});
client.connect();

/** What the test looks at. */
const stage = {
  client,
  chat,
  states,
  statuses,
  phases,
  get all() {
    return chat.entries.map((entry) => (entry.kind === "run" ? entry.text : entry.data));
  },
  get state() {
    return client.status.state;
  },
  get mode() {
    return placeOf(client).mode;
  },
  get others() {
    return placeOf(client).others.map(({ name }) => name);
  },
  claim: () => claim(client),
  seen,
  read: () => presence?.read(),
  get members() {
    return (presence?.members ?? []).map(({ user, read, shown }) => `${user} ${read}/${shown}`);
  },
  send: (data: unknown) => chat.send(data).done,
};
Object.assign(globalThis, { stage });

export type StageInPage = typeof stage;
