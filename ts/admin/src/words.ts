import type { Revocation, TimelineRecord } from "./api.ts";

const counts = new Intl.NumberFormat("en");

export const count = (n: number) => counts.format(Math.round(n));

export function bytes(n: number): string {
  if (n < 1000) return `${n} B`;
  if (n < 1_000_000) return `${(n / 1000).toFixed(n < 10_000 ? 1 : 0)} kB`;
  return `${(n / 1_000_000).toFixed(1)} MB`;
}

export function lasted(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} d`;
}

/** "1 frame", "3 frames". */
export const several = (n: number, what: string) => `${count(n)} ${what}${n === 1 ? "" : "s"}`;

export const ago = (at: string) => lasted(Date.now() - Date.parse(at));

export function clock(at: string): string {
  const d = new Date(at);
  return `${d.toLocaleTimeString("en-GB")}.${String(d.getMilliseconds()).padStart(3, "0")}`;
}

export const day = (at: string) => new Date(at).toLocaleDateString("en-CA");

type Data = Record<string, unknown>;
const text = (data: Data, name: string) => String(data[name] ?? "");
const number = (data: Data, name: string) => Number(data[name] ?? 0);

function attached(data: Data): string {
  const by = `connected by ${text(data, "transport")} from ${text(data, "remote")}`;
  if (!data.before) return by;
  const away = number(data, "away");
  return away
    ? `${by}, ${lasted(away)} after the one before was lost (${text(data, "class")})`
    : `${by}, in place of a living one`;
}

function resumed(data: Data): string {
  const { from, head } = { from: number(data, "from"), head: number(data, "head") };
  const missed = head >= from ? `offsets ${from} to ${head}` : `nothing missed, at ${head}`;
  const cost = `${several(number(data, "frames"), "frame")}, ${bytes(number(data, "bytes"))}, ${lasted(number(data, "took"))}`;
  return `resumed, ${text(data, "outcome")}: ${missed} (${cost})`;
}

function ended(data: Data): string {
  const positions = Object.entries((data.positions as Record<string, number> | undefined) ?? {});
  const at = positions.map(([session, offset]) => `${session} at ${offset}`).join(", ");
  const what = `ended as ${text(data, "class")}, by the ${text(data, "by")}: ${text(data, "reason")} (${text(data, "code")})`;
  return `${what}, after ${lasted(number(data, "age"))}${at ? `; ${at}` : ""}`;
}

function logged(event: string, data: Data): string {
  const size = bytes(number(data, "bytes"));
  if (event === "run") {
    return `run ${text(data, "offset")} ${text(data, "status")}, ${several(number(data, "fragments"), "fragment")}, ${size}`;
  }
  return `${event} ${text(data, "offset")}${data.key ? ` of ${text(data, "key")}` : ""}, ${size}`;
}

/** What a client says of itself: its own names, with what stands beside them. */
function told(event: string, data: Data): string {
  const rest = Object.entries(data).filter(([name]) => name !== "at" && name !== "e");
  return [
    event,
    ...rest.map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : String(value)}`),
  ].join(", ");
}

/** What a revocation takes back: "reading and sending of anna, on phone, in chat-1". */
export function revoked({ token, user, client, session, actions = [] }: Partial<Revocation>): string {
  const verbs = { read: "reading", send: "sending", stop: "stopping" } as Record<string, string>;
  const what = actions.map((action) => verbs[action] ?? action).join(" and ") || "all";
  const of = [token && `token ${token}`, user].filter(Boolean).join(" of ") || "everybody";
  return [`${what} of ${of}`, client && `on ${client}`, session && `in ${session}`].filter(Boolean).join(", ");
}

/** A record as a sentence. */
export function sentence({ source, event, data = {} }: TimelineRecord): string {
  if (source === "client") return told(event, data);
  if (source === "log") return logged(event, data);
  switch (event) {
    case "attached":
      return attached(data);
    case "resumed":
      return resumed(data);
    case "ended":
      return ended(data);
    case "denied":
      return `denied: ${text(data, "message")}`;
    case "hidden":
      return "the page is hidden";
    case "seen":
      return "the page is seen again";
  }
  return event;
}
