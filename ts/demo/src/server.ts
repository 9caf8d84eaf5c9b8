import { HoldfastError } from "@holdfast/client";

/** What the demo's own routes say; the rest is the protocol's. */
export interface Config {
  readonly room: string;
  readonly ws: string;
  readonly user?: string;
  readonly chats: readonly Place[];
  readonly task: Place;
}

export interface Place {
  readonly id: string;
  readonly title: string;
}

export async function loadConfig(room: string | null): Promise<Config> {
  const query = room === null ? "" : `?room=${encodeURIComponent(room)}`;
  const answer = await fetch(`/demo/config${query}`, { cache: "no-store" });
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
  return (await answer.json()) as Config;
}

/** Signs in. A development server takes anybody's word; a real application asks its own backend here. */
export async function fetchToken(user: string): Promise<string> {
  const answer = await fetch("/demo/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ user }),
  });
  if (answer.status === 401 || answer.status === 403) throw new HoldfastError("unauthorized", "please sign in again");
  if (!answer.ok) throw new Error("the sign-in did not answer");
  return ((await answer.json()) as { readonly token: string }).token;
}

/** Has the server do something bad to a connection. */
export async function harm(conn: string, action: "cut" | "blackhole"): Promise<void> {
  const answer = await fetch("/demo/line", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ conn, action }),
  });
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
}
