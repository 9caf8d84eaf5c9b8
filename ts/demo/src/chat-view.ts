import { type Client, type Entry, type Session, type SessionSnapshot } from "@holdfast/client";
import { move, older, queueOf, stop, stopOf, withdraw } from "@holdfast/client";
import { Composer } from "./composer.ts";
import { element, setText } from "./element.ts";
import { MessageView, RunView } from "./message-view.ts";
import { Scroller } from "./scroller.ts";
import type { Place } from "./server.ts";
import { WaitingView } from "./stop-view.ts";

type ItemView = { readonly root: HTMLElement };

const IDEAS = ["What is a session?", "How do you survive a cut line?", "Tell me something long"];

/** One chat: a session's entries and what is on its way to them. */
export class ChatView {
  readonly root: HTMLElement;
  readonly #session: Session;
  readonly #user: string;
  readonly #announce: (text: string) => void;
  readonly #list = element("div", { class: "list" });
  readonly #older = element("button", { type: "button", class: "quiet older", hidden: true }, "Older messages");
  readonly #state = element("span", { class: "state" });
  readonly #empty: HTMLElement;
  readonly #scroller: Scroller;
  /** By the id of the message, which it has before and after it arrives, or by offset. */
  readonly #items = new Map<string, ItemView>();
  #first = Number.POSITIVE_INFINITY;
  readonly #open = new Set<number>();

  constructor(client: Client, place: Place, user: string, announce: (text: string) => void) {
    this.#user = user;
    this.#session = client.session(place.id, { last: 30 });
    this.#announce = announce;
    const send = (text: string) => {
      this.#session.send({ text });
      this.#scroller.toEnd();
    };
    this.#empty = this.#ideas(place.title, send);
    const scroll = element("div", {
      class: "scroll",
      role: "log",
      "aria-live": "off",
      "aria-label": place.title,
      tabindex: "0",
    });
    scroll.append(this.#older, this.#empty, this.#list);
    const jump = element("button", { type: "button", class: "jump", hidden: true }, "↓ New");
    const head = element("header", {}, element("h2", {}, place.title), this.#state);
    const body = element("div", { class: "body" }, scroll, jump);
    this.root = element("section", { class: "pane chat", "aria-label": place.title });
    this.root.append(head, body, new Composer(place.id, place.title, send).root);
    this.#scroller = new Scroller(scroll, jump);
    this.#older.addEventListener("click", () => void this.#getOlder());
    this.#session.subscribe(() => this.#draw());
    this.#draw();
  }

  #ideas(title: string, send: (text: string) => void): HTMLElement {
    const empty = element(
      "div",
      { class: "empty", hidden: true },
      element("p", {}, `Nothing has been said in ${title} yet.`),
    );
    for (const idea of IDEAS) {
      const button = element("button", { type: "button", class: "idea" }, idea);
      button.addEventListener("click", () => send(idea));
      empty.append(button);
    }
    return empty;
  }

  async #getOlder(): Promise<void> {
    this.#older.disabled = true;
    try {
      await older(this.#session, 30);
    } catch {
      // The session was refused or closed, which its state shows.
    }
    this.#older.disabled = false;
  }

  #draw(): void {
    const { snapshot } = this.#session;
    const { entries, outbox, status, hasOlder, error } = snapshot;
    const first = entries[0]?.offset ?? Number.POSITIVE_INFINITY;
    const before = first < this.#first && this.#items.size > 0;
    this.#first = first;
    this.#scroller.change(() => {
      const wanted = new Map<string, ItemView>();
      for (const entry of entries) this.#drawEntry(entry, wanted);
      if (outbox.length === 0) this.#drawUnanswered(snapshot, wanted);
      this.#drawQueue(snapshot, wanted);
      for (const sending of outbox) {
        const view = this.#view(sending.id, MessageView, () => new MessageView(true));
        if (!wanted.has(sending.id)) view.onItsWay(sending);
        wanted.set(sending.id, view);
      }
      if (outbox.length > 0) this.#drawUnanswered(snapshot, wanted);
      this.#arrange(wanted);
      this.#empty.hidden = wanted.size > 0 || status !== "live";
      this.#older.hidden = !hasOlder;
    }, before);
    this.root.dataset["status"] = status;
    setText(this.#state, status === "denied" ? (error?.message ?? "Not allowed") : "");
  }

  #drawEntry(entry: Entry, wanted: Map<string, ItemView>): void {
    const key = entry.id || String(entry.offset);
    if (entry.kind === "run") {
      const view = this.#view(key, RunView, () => {
        return new RunView(this.#user, () => stop(this.#session, { run: entry.offset }));
      });
      view.show(entry);
      wanted.set(key, view);
      if (entry.status === "open") this.#open.add(entry.offset);
      else if (this.#open.delete(entry.offset)) this.#announce(`Answer: ${entry.text}`);
    } else if (entry.kind === "message") {
      const view = this.#view(key, MessageView, () => new MessageView(entry.user === this.#user));
      view.arrived(entry);
      wanted.set(key, view);
    }
  }

  /** What waits for its turn stands below the answer that it waits for. */
  #drawQueue(snapshot: SessionSnapshot, wanted: Map<string, ItemView>): void {
    const { waiting } = queueOf(snapshot);
    for (const [place, message] of waiting.entries()) {
      if (wanted.has(message.id)) continue;
      const view = this.#view(message.id, MessageView, () => new MessageView(message.user === this.#user));
      view.waits(message, place, waiting.length, {
        withdraw: () => withdraw(this.#session, message),
        move: (to) => move(this.#session, message, to),
      });
      wanted.set(message.id, view);
    }
  }

  /** What was said last and is not being answered can be stopped too: also before it has arrived. */
  #drawUnanswered(snapshot: SessionSnapshot, wanted: Map<string, ItemView>): void {
    const { entries, outbox } = snapshot;
    const sending = outbox.filter(({ state }) => state !== "failed").at(-1);
    if (sending && queueOf(snapshot).waiting.length) return; // it will wait with them, and be withdrawn there
    const said = entries.filter((entry) => entry.kind === "message").at(-1);
    const id = sending?.id ?? said?.id;
    if (id === undefined) return;
    const offset = sending ? 0 : (said?.offset ?? 0);
    if (offset && entries.some((entry) => entry.kind === "run" && entry.answers === offset)) return;
    const key = `waiting:${id}`;
    const ask = async () => {
      const { state, offset: at } = sending ? await sending.done : { state: undefined, offset };
      return state === "queued" ? withdraw(this.#session, { id }) : stop(this.#session, { answers: at });
    };
    const view = this.#view(key, WaitingView, () => new WaitingView(this.#user, ask));
    view.show(stopOf(snapshot, { answers: offset }));
    wanted.set(key, view);
  }

  #view<T extends ItemView>(key: string, type: abstract new (...args: never[]) => T, make: () => T): T {
    const held = this.#items.get(key);
    return held instanceof type ? held : make();
  }

  /** Puts the elements in order, moving only those that stand wrong. */
  #arrange(wanted: Map<string, ItemView>): void {
    for (const [key, view] of this.#items) if (wanted.get(key) !== view) view.root.remove();
    this.#items.clear();
    let next = this.#list.firstElementChild;
    for (const [key, view] of wanted) {
      this.#items.set(key, view);
      if (view.root === next) next = next.nextElementSibling;
      else this.#list.insertBefore(view.root, next);
    }
  }
}
