import { element } from "./element.ts";

/** What can be done to a message that waits; each settles when the server has answered. */
export interface QueueEdits {
  readonly withdraw: () => Promise<void>;
  readonly move: (to: number) => Promise<void>;
}

/** Says that a message waits for its turn, and moves it up, down and out. All windows show what comes of it. */
export class QueueView {
  readonly root: HTMLElement;
  readonly #words = element("span");
  readonly #up = button("Move up", "\u2191", () => this.#edits.move(this.#place - 1));
  readonly #down = button("Move down", "\u2193", () => this.#edits.move(this.#place + 1));
  readonly #withdraw = button("Withdraw", "Withdraw", () => this.#edits.withdraw());
  readonly #edits: QueueEdits;
  #place = 0;

  constructor(edits: QueueEdits) {
    this.#edits = edits;
    const group = element("span", { class: "edits" }, this.#up, this.#down, this.#withdraw);
    this.root = element("p", { class: "queued" }, this.#words, group);
  }

  /** Its place among how many, counted from 0. */
  show(place: number, all: number): void {
    this.#place = place;
    this.#words.textContent = place === 0 ? "Next" : `Waits, ${place + 1} of ${all}`;
    this.#up.hidden = place === 0;
    this.#down.hidden = place === all - 1;
  }
}

function button(name: string, label: string, press: () => Promise<void>): HTMLButtonElement {
  const made = element("button", { type: "button", class: "link", "aria-label": name, title: name }, label);
  made.addEventListener("click", () => {
    made.disabled = true;
    const again = () => {
      made.disabled = false;
    };
    // Refused is what has had its turn meanwhile, and that is shown by its being there.
    void press().then(again, again);
  });
  return made;
}
