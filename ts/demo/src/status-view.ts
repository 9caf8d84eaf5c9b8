import type { Client, Session, Status } from "@holdfast/client";
import { byId, element, setText } from "./element.ts";

/** A moment of connecting that is over before anybody could read the word is not shown. */
const FLICKER = 400;

/** The close code of a connection whose client id is used elsewhere now. */
const TAKEN_OVER = 4502;

/** The light in the corner, and the facts behind it. */
export class StatusView {
  readonly #client: Client;
  readonly #sessions: readonly { readonly title: string; readonly session: Session }[];
  readonly #announce: (text: string) => void;
  readonly #pill = byId("status", HTMLButtonElement);
  readonly #text = byId("status-text", HTMLSpanElement);
  readonly #now = byId("now", HTMLButtonElement);
  readonly #facts = byId("facts", HTMLDivElement);
  readonly #leave = byId("leave", HTMLButtonElement);
  #shown = "";
  #later: number | undefined;
  #beat: number | undefined;

  constructor(
    client: Client,
    sessions: readonly { readonly title: string; readonly session: Session }[],
    announce: (text: string) => void,
  ) {
    this.#client = client;
    this.#sessions = sessions;
    this.#announce = announce;
    client.onStatus(() => this.#changed());
    for (const { session } of sessions) session.subscribe(() => this.#drawFacts());
    this.#now.addEventListener("click", () => client.retryNow());
    this.#leave.addEventListener("click", () => {
      if (away(client.status)) client.connect();
      else client.disconnect();
    });
    this.#pill.addEventListener("click", () => this.#toggle(this.#facts.hidden));
    document.addEventListener("keydown", ({ key }) => {
      if (key === "Escape" && !this.#facts.hidden) {
        this.#toggle(false);
        this.#pill.focus();
      }
    });
    document.addEventListener("pointerdown", ({ target }) => {
      const inside = target instanceof Node && this.#pill.parentElement?.contains(target);
      if (!inside) this.#toggle(false);
    });
    this.#draw();
  }

  #changed(): void {
    const { state } = this.#client.status;
    const passing = state === "connecting" || state === "catching-up";
    clearTimeout(this.#later);
    if (passing && this.#shown === "live") this.#later = setTimeout(() => this.#draw(), FLICKER);
    else this.#draw();
    this.#drawFacts();
  }

  #draw(): void {
    const { status } = this.#client;
    clearInterval(this.#beat);
    if (status.state === "offline") this.#beat = setInterval(() => this.#words(), 250);
    if (this.#shown !== status.state && this.#shown !== "") this.#announce(words(status));
    this.#shown = status.state;
    this.#pill.dataset["state"] = status.state;
    this.#now.hidden = status.state !== "offline";
    setText(this.#leave, status.code === TAKEN_OVER ? "Use here" : away(status) ? "Connect" : "Disconnect");
    this.#words();
    this.#drawFacts();
  }

  #words(): void {
    setText(this.#text, words(this.#client.status));
  }

  #toggle(open: boolean): void {
    this.#facts.hidden = !open;
    this.#pill.setAttribute("aria-expanded", String(open));
    this.#drawFacts();
  }

  #drawFacts(): void {
    if (this.#facts.hidden) return;
    const { stats, status, clientId } = this.#client;
    const rows: (readonly [string, string])[] = [
      ["State", `${status.state}, for ${Math.max(0, Math.round((Date.now() - status.since) / 1000))} s`],
      ...(status.reason ? [["Reason", status.reason] as const] : []),
      ["Connection", stats.connection || "none"],
      ["Round trip", stats.rtt ? `${stats.rtt} ms` : "not measured yet"],
      ["Came back", `${count(Math.max(0, stats.welcomes - 1), "time")}, ${count(stats.dials, "dial")}`],
      ...this.#sessions.map(({ title, session }) => [title, outcome(session)] as const),
      ["Received", size(stats.received)],
      ["Sent", size(stats.sent)],
      ["User", stats.user || "unknown"],
      ["This window", clientId],
    ];
    const list = element("dl", {});
    for (const [name, value] of rows) list.append(element("dt", {}, name), element("dd", {}, value));
    this.#facts.replaceChildren(list);
  }
}

function away({ state }: Status): boolean {
  return state === "idle" || state === "ended";
}

const narrow = () => matchMedia("(max-width: 44rem)").matches;

function words({ state, retryAt = 0, reason = "" }: Status): string {
  switch (state) {
    case "idle":
      return "Disconnected";
    case "asleep":
      return "Asleep";
    case "connecting":
      return "Connecting";
    case "live":
      return "Live";
    case "catching-up":
      return "Catching up";
    case "offline":
      return `Offline, ${narrow() ? "" : "next try in "}${Math.max(0, Math.ceil((retryAt - Date.now()) / 1000))} s`;
    case "ended":
      return `Ended: ${reason}`;
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
