import { element } from "./element.ts";

/** Where a message is typed. What is typed and not sent outlives a reload. */
export class Composer {
  readonly root: HTMLFormElement;
  readonly #input: HTMLTextAreaElement;
  readonly #key: string;

  constructor(name: string, title: string, send: (text: string) => void) {
    this.#key = `holdfast-demo:draft:${name}`;
    this.#input = element("textarea", {
      rows: "1",
      "aria-label": `Message to ${title}`,
      placeholder: `Ask ${title} something`,
      enterkeyhint: "send",
      autocomplete: "off",
    });
    const button = element("button", { type: "submit", class: "send", "aria-label": "Send" });
    this.root = element("form", { class: "composer" }, this.#input, button);
    this.#input.value = sessionStorage.getItem(this.#key) ?? "";
    this.#input.addEventListener("input", () => this.#keep());
    this.#input.addEventListener("keydown", (event) => {
      // Enter ends a composition of Japanese or Chinese first.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.root.requestSubmit();
    });
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#input.value.trim();
      if (!text) return;
      send(text);
      this.#input.value = "";
      this.#keep();
      this.#input.focus();
    });
  }

  #keep(): void {
    sessionStorage.setItem(this.#key, this.#input.value);
  }
}
