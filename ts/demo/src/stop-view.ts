import type { RunStop } from "@holdfast/client";
import { element, setText } from "./element.ts";

type Target = "open" | "ended" | "none";

/** A Stop button, and in its place what became of it: that comes from the session, and is the same on all devices. */
export class StopView {
  readonly root: HTMLElement;
  readonly #user: string;
  readonly #button = element("button", { type: "button", class: "quiet stop" }, "Stop");
  readonly #note = element("span", { class: "note" });
  /** It was pressed here, and the server has not said anything to that. */
  #pressed = false;
  #refusal = "";

  /** `ask` asks for the stop; it may take as long as there is no connection. */
  constructor(user: string, ask: () => Promise<unknown>) {
    this.#user = user;
    this.root = element("p", { class: "stopping" }, this.#button, this.#note);
    this.#button.addEventListener("click", () => void this.#press(ask));
  }

  /** `ending` says how it ended where no stop tells that. */
  show(target: Target, stop: RunStop | undefined, ending = ""): void {
    const words = stop
      ? this.#words(target, stop, ending)
      : ending || this.#refusal || (this.#pressed ? "Stopping" : "");
    this.#button.hidden = target === "ended" || stop !== undefined || this.#pressed;
    setText(this.#note, words);
    this.#note.hidden = words === "";
    this.root.dataset["state"] = stop?.state ?? (this.#pressed ? "asked" : "none");
    this.root.hidden = this.#button.hidden && this.#note.hidden;
  }

  async #press(ask: () => Promise<unknown>): Promise<void> {
    this.#pressed = true;
    this.show("none", undefined);
    try {
      await ask();
    } catch (error) {
      this.#pressed = false;
      this.#refusal = `Not stopped: ${error instanceof Error ? error.message : String(error)}`;
      this.show("none", undefined);
    }
  }

  #words(target: Target, { state, user }: RunStop, ending: string): string {
    const who = user === "" ? "the backend" : user === this.#user ? "you" : "somebody else";
    switch (state) {
      case "requested":
        return `Stopping, as ${who} asked`;
      case "stopped":
        return `Stopped by ${who}.`;
      case "too_late":
        return `${ending} The stop by ${who} came too late.`.trim();
      case "unreachable":
        return target === "none"
          ? `Stopped by ${who} before anybody began to answer.`
          : `Stopped by ${who}, and by the server: the writer did not answer.`;
    }
  }
}

/** Stands for an answer that has not begun. */
export class WaitingView {
  readonly root = element("article", { class: "waiting", "aria-label": "No answer yet" });
  readonly #stop: StopView;

  constructor(user: string, ask: () => Promise<unknown>) {
    this.#stop = new StopView(user, ask);
    this.root.append(this.#stop.root);
  }

  show(stop: RunStop | undefined): void {
    this.#stop.show("none", stop);
  }
}
