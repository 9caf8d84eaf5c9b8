import type { Answered, SessionRequest } from "@holdfast/client";
import { element, setText } from "./element.ts";
import { textOf } from "./message-view.ts";

/** A question, with a button for each answer and the time that is left; then who gave which. It is the same on all devices. */
export class RequestView {
  readonly root: HTMLElement;
  readonly #user: string;
  readonly #text = element("p", { class: "text" });
  readonly #note = element("p", { class: "note" });
  readonly #yes = element("button", { type: "button", class: "primary" }, "Go on");
  readonly #no = element("button", { type: "button", class: "quiet" }, "Give up");
  #request: SessionRequest | undefined;
  #said = "";
  #tick: ReturnType<typeof setTimeout> | undefined;

  /** `give` gives an answer; it may take as long as there is no connection. */
  constructor(user: string, give: (request: SessionRequest, yes: boolean) => Promise<Answered>) {
    this.#user = user;
    const buttons = element("p", { class: "answers" }, this.#yes, this.#no);
    this.root = element("div", { class: "request", role: "group", "aria-label": "A question", hidden: true });
    this.root.append(this.#text, buttons, this.#note);
    for (const button of [this.#yes, this.#no])
      button.addEventListener("click", () => void this.#press(button === this.#yes, give));
  }

  /** Shows a question, or none. */
  show(request: SessionRequest | undefined): void {
    if (request?.offset !== this.#request?.offset) this.#said = "";
    this.#request = request;
    this.root.hidden = request === undefined;
    this.#draw();
  }

  #draw(): void {
    clearTimeout(this.#tick);
    const request = this.#request;
    if (!request) return;
    const open = request.state === "open";
    this.root.dataset["state"] = request.state;
    setText(this.#text, textOf(request.data));
    this.#yes.hidden = this.#no.hidden = !open || this.#said === "Sending your answer";
    setText(this.#note, open ? this.#said || leftOf(request, Date.now()) : settledBy(request, this.#user));
    if (open) this.#tick = setTimeout(() => this.#draw(), 1_000);
  }

  async #press(yes: boolean, give: (request: SessionRequest, yes: boolean) => Promise<Answered>): Promise<void> {
    const request = this.#request;
    if (!request) return;
    this.#said = "Sending your answer";
    this.#draw();
    try {
      await give(request, yes);
    } catch (error) {
      if (this.#request?.offset !== request.offset) return;
      this.#said = `Not answered: ${error instanceof Error ? error.message : String(error)}`;
      this.#draw();
    }
  }
}

const words = (data: unknown) => (data === true ? "Go on" : data === false ? "Give up" : JSON.stringify(data));

/** How long there is to answer, and what happens then. */
export function leftOf({ by, default: otherwise }: SessionRequest, now: number): string {
  const left = Math.max(0, Math.ceil((by - now) / 1_000));
  const time = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  return `${time} left to answer, then: ${words(otherwise)}.`;
}

export function settledBy({ state, settled }: SessionRequest, user: string): string {
  switch (state) {
    case "answered":
      return `${words(settled?.data)}, said ${settled?.user === user ? "you" : settled?.user || "the backend"}.`;
    case "expired":
      return `Nobody answered in time: ${words(settled?.data)}.`;
    case "withdrawn":
      return "No answer is needed any more.";
    case "open":
      return "";
  }
}
