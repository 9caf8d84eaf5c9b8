/** Nearer to the end than this, in px, and the reader is taken to be following it. */
const NEAR = 48;

/**
 * Keeps a list at its end while the reader follows it, and leaves the reader in peace otherwise: what they look at stays
 * where it is, whatever is added before or after.
 */
export class Scroller {
  readonly #view: HTMLElement;
  readonly #jump: HTMLElement;
  #following = true;

  constructor(view: HTMLElement, jump: HTMLElement) {
    this.#view = view;
    this.#jump = jump;
    view.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    jump.addEventListener("click", () => this.toEnd(true));
    new ResizeObserver(() => this.#following && this.toEnd()).observe(view);
  }

  /** Makes a change of the list. `before` says that it adds at the top. */
  change(make: () => void, before = false): void {
    const view = this.#view;
    const fromEnd = view.scrollHeight - view.scrollTop;
    make();
    if (before) view.scrollTop = view.scrollHeight - fromEnd;
    else if (this.#following) this.toEnd();
    else this.#jump.hidden = false;
  }

  toEnd(smoothly = false): void {
    this.#following = true;
    this.#jump.hidden = true;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#view.scrollTo({ top: this.#view.scrollHeight, behavior: smoothly && !calm ? "smooth" : "instant" });
  }

  #scrolled(): void {
    const { scrollHeight, scrollTop, clientHeight } = this.#view;
    // A hidden pane has no height and tells nothing.
    if (!clientHeight) return;
    this.#following = scrollHeight - scrollTop - clientHeight < NEAR;
    if (this.#following) this.#jump.hidden = true;
  }
}
