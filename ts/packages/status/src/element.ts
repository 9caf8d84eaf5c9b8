import type { Client } from "@holdfast/client";
import { STYLE } from "./style.ts";
import { type Shown, view } from "./view.ts";
import { ENGLISH, type Words } from "./words.ts";

/** The close code of a connection whose client id is used by another page now. */
const TAKEN_OVER = 4502;

/** On a server there are no elements, and importing this does nothing. */
const Element = (globalThis.HTMLElement ?? Object) as typeof HTMLElement;

/**
 * Shows how a client's connection is doing: `element.client = client`. The attribute `state` is what it shows, which is not
 * each passing state: a moment of trouble that is over before anybody could read of it is not shown at all.
 */
export class HoldfastStatus extends Element {
  #client: Client | undefined;
  #words = ENGLISH;
  #shown: Shown = "";
  /** Since when it is not live, in Unix milliseconds, as far as somebody looks. */
  #trouble: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stop: (() => void) | undefined;
  #parts: Readonly<Record<"label" | "detail" | "button", HTMLElement>> | undefined;

  /** The client to show. */
  get client(): Client | undefined {
    return this.#client;
  }

  set client(client: Client | undefined) {
    this.#client = client;
    this.#trouble = undefined;
    if (this.isConnected) this.connectedCallback();
  }

  /** What it says; give only what differs from English. */
  get words(): Words {
    return this.#words;
  }

  set words(words: Partial<Words>) {
    this.#words = { ...ENGLISH, ...words };
    this.#update();
  }

  connectedCallback(): void {
    this.disconnectedCallback();
    // What a page has set before the element was defined stands in the way of the accessors.
    for (const name of ["client", "words"] as const) {
      const given = Object.getOwnPropertyDescriptor(this, name);
      if (!given) continue;
      delete (this as { client?: unknown; words?: unknown })[name];
      Object.assign(this, { [name]: given.value });
    }
    this.#parts ??= this.#build();
    const stop = this.#client?.onStatus(() => this.#update());
    const looked = () => this.#looked();
    document.addEventListener("visibilitychange", looked);
    this.#stop = () => {
      stop?.();
      document.removeEventListener("visibilitychange", looked);
    };
    this.#update();
  }

  disconnectedCallback(): void {
    clearTimeout(this.#timer);
    this.#stop?.();
    this.#stop = undefined;
  }

  /** Whoever comes back sees how it was, and trouble only if it lasts from now on. */
  #looked(): void {
    this.#trouble = Date.now();
    this.#update();
  }

  #update(): void {
    clearTimeout(this.#timer);
    const status = this.#client?.status;
    if (!this.#stop) return;
    if (!status) return this.setAttribute("state", (this.#shown = ""));
    const { state } = status;
    const passing = state === "connecting" || state === "catching-up" || state === "offline";
    if (!passing) this.#trouble = undefined;
    else if (document.visibilityState === "hidden") return;
    else this.#trouble ??= status.since;
    const now = Date.now();
    const next = view({ state, shown: this.#shown, since: now - status.since, trouble: now - (this.#trouble ?? now) });
    this.#shown = next.shown;
    this.#draw();
    const left = (status.retryAt ?? now) - now;
    const tick = next.shown === "offline" && left > 0 ? left % 1_000 || 1_000 : undefined;
    const again = next.again ?? tick;
    if (again !== undefined) this.#timer = setTimeout(() => this.#update(), again);
  }

  #draw(): void {
    const { status } = this.#client ?? {};
    if (!this.#parts || !status) return;
    const { label, detail, button } = this.#parts;
    const shown = this.#shown;
    const words = this.#words;
    const trying = shown === "offline" && status.state !== "offline";
    this.setAttribute("state", shown);
    this.toggleAttribute("busy", trying || shown === "connecting" || shown === "catching-up");
    const why = shown === "ended" && status.reason ? `: ${status.reason}` : "";
    setText(label, shown && words[shown] + why);
    const seconds = Math.max(0, Math.ceil(((status.retryAt ?? 0) - Date.now()) / 1_000));
    setText(detail, shown !== "offline" ? "" : trying ? words.trying : words.next(seconds));
    detail.hidden = shown !== "offline";
    const taken = shown === "ended" && status.code === TAKEN_OVER;
    setText(button, taken ? words.here : words.retry);
    button.hidden = !taken && shown !== "offline";
  }

  #build() {
    const root = this.attachShadow({ mode: "open" });
    const add = (tag: string, part: string) => {
      const made = document.createElement(tag);
      made.setAttribute("part", part);
      root.append(made);
      return made;
    };
    addStyle(root);
    add("span", "dot");
    // Only the words of a state are read out; a countdown that speaks each second would be unbearable.
    const label = add("span", "label");
    label.setAttribute("role", "status");
    label.setAttribute("aria-live", "polite");
    const detail = add("span", "detail");
    const button = add("button", "button");
    button.setAttribute("type", "button");
    button.onclick = () => (this.#shown === "ended" ? this.#client?.connect() : this.#client?.retryNow());
    return { label, detail, button };
  }
}

/** By a constructed sheet, which a content security policy does not forbid as it may a style element. */
function addStyle(root: ShadowRoot): void {
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
  } catch {
    root.append(Object.assign(document.createElement("style"), { textContent: STYLE }));
  }
}

function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}
