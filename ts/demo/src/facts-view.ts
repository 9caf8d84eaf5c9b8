import type { Client, Session } from "@holdfast/client";
import { byId, element } from "./element.ts";

/** A session with the name that people know it by. */
export interface Titled {
  readonly title: string;
  readonly session: Session;
}

/** What there is to know about the connection, for whoever opens it. */
export class FactsView {
  readonly #client: Client;
  readonly #sessions: readonly Titled[];
  readonly #details = byId("facts", HTMLDetailsElement);

  constructor(client: Client, sessions: readonly Titled[]) {
    this.#client = client;
    this.#sessions = sessions;
    client.onStatus(() => this.#draw());
    for (const { session } of sessions) session.subscribe(() => this.#draw());
    this.#details.addEventListener("toggle", () => this.#draw());
    document.addEventListener("keydown", ({ key }) => {
      if (key === "Escape") this.#details.open = false;
    });
    document.addEventListener("pointerdown", ({ target }) => {
      if (!(target instanceof Node && this.#details.contains(target))) this.#details.open = false;
    });
  }

  #draw(): void {
    if (!this.#details.open) return;
    const { stats, status, clientId, keeps } = this.#client;
    const rows: (readonly [string, string])[] = [
      ["State", `${status.state}, for ${Math.max(0, Math.round((Date.now() - status.since) / 1000))} s`],
      ...(status.reason ? [["Reason", status.reason] as const] : []),
      ["Connection", stats.connection || "none"],
      ["Round trip", stats.rtt ? `${stats.rtt} ms` : "not measured yet"],
      ["Came back", `${count(Math.max(0, stats.welcomes - 1), "time")}, ${count(stats.dials, "dial")}`],
      ...this.#sessions.map(({ title, session }) => [title, outcome(session)] as const),
      ["Unsent messages", `last as long as the ${keeps}`],
      ["Received", size(stats.received)],
      ["Sent", size(stats.sent)],
      ["User", stats.user || "unknown"],
      ["This window", clientId],
    ];
    const list = rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
    this.#details.querySelector("dl")?.replaceChildren(...list);
  }
}

function outcome({ status, outcome }: Session): string {
  return outcome ? `${status}, was answered “${outcome}”` : status;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}

function size(units: number): string {
  return units < 10_000 ? `${units} characters` : `${Math.round(units / 1000)} k characters`;
}
