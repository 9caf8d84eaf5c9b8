import type { MessageEntry, RunEntry, Sending, Waiting } from "@holdfast/client";
import { element, setText } from "./element.ts";
import { MarkdownView } from "./markdown-view.ts";
import { type QueueEdits, QueueView } from "./queue-view.ts";
import { StopView } from "./stop-view.ts";

/** One message, on its way, waiting or there: the same element for all, so that nothing jumps when it arrives. */
export class MessageView {
  readonly root: HTMLElement;
  readonly #text = element("p", { class: "text" });
  readonly #note = element("p", { class: "note", hidden: true });
  #sending: Sending | undefined;
  #queue: QueueView | undefined;

  constructor(mine: boolean) {
    this.root = element("article", { class: "message", "aria-label": mine ? "Message" : "Message of another person" });
    this.root.append(this.#text, this.#note);
  }

  arrived(entry: MessageEntry): void {
    this.#sending = undefined;
    this.root.dataset["state"] = "there";
    setText(this.#text, textOf(entry.data));
    this.#note.hidden = true;
    this.#queue?.root.remove();
    this.#queue = undefined;
  }

  /** It waits for its turn, at this place among so many. */
  waits(message: Waiting, place: number, all: number, edits: QueueEdits): void {
    this.#sending = undefined;
    this.root.dataset["state"] = "queued";
    setText(this.#text, textOf(message.data));
    this.#note.hidden = true;
    if (!this.#queue) {
      this.#queue = new QueueView(edits);
      this.root.append(this.#queue.root);
    }
    this.#queue.show(place, all);
  }

  onItsWay(sending: Sending): void {
    const { state, error } = sending;
    if (this.#sending === sending && this.root.dataset["state"] === state) return;
    this.#sending = sending;
    this.root.dataset["state"] = state;
    setText(this.#text, textOf(sending.data));
    this.#note.hidden = state !== "failed";
    if (state !== "failed") return;
    const retry = element("button", { type: "button", class: "link" }, "Send again");
    const discard = element("button", { type: "button", class: "link" }, "Discard");
    retry.addEventListener("click", () => sending.retry());
    discard.addEventListener("click", () => sending.discard());
    this.#note.replaceChildren(`Not sent: ${error?.message ?? "refused"} `, element("span", {}, retry, discard));
  }
}

const ENDS: Readonly<Record<RunEntry["status"], string>> = {
  open: "",
  complete: "",
  stopped: "Stopped.",
  failed: "The answer failed.",
  interrupted: "The answer was interrupted.",
};

/** One answer as it grows. */
export class RunView {
  readonly root = element("article", { class: "run", "aria-label": "Answer" });
  readonly #answer = new MarkdownView();
  readonly #thoughts = new MarkdownView();
  readonly #details: HTMLDetailsElement;
  readonly #summary = element("summary", {}, "Thinking");
  readonly #stop: StopView;
  #shown: RunEntry | undefined;

  constructor(user: string, stop: () => Promise<unknown>) {
    this.#details = element("details", { class: "thoughts", hidden: true }, this.#summary, this.#thoughts.root);
    this.#stop = new StopView(user, stop);
    this.root.append(this.#details, this.#answer.root, this.#stop.root);
  }

  show(run: RunEntry): void {
    if (run === this.#shown) return;
    this.#shown = run;
    const thoughts = run.parts["reasoning"] ?? "";
    const thinking = run.status === "open" && run.text === "";
    this.root.dataset["status"] = run.status;
    this.root.dataset["offset"] = String(run.offset);
    this.root.setAttribute("aria-busy", String(run.status === "open"));
    this.root.classList.toggle("thinking", thinking);
    this.#details.hidden = thoughts === "";
    this.#thoughts.show(thoughts);
    setText(this.#summary, thinking ? "Thinking" : "Thoughts");
    this.#answer.show(run.text);
    this.#stop.show(run.status === "open" ? "open" : "ended", run.stop, ENDS[run.status]);
  }
}

export function textOf(data: unknown): string {
  const text = typeof data === "object" && data !== null ? (data as { readonly text?: unknown }).text : data;
  return typeof text === "string" ? text : JSON.stringify(data);
}
