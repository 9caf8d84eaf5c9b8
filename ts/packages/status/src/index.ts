import { HoldfastStatus } from "./element.ts";

export { HoldfastStatus } from "./element.ts";
export type { Words } from "./words.ts";

declare global {
  interface HTMLElementTagNameMap {
    "holdfast-status": HoldfastStatus;
  }
}

// Two copies of this package in one page are no error: the first one's element is used.
const elements = globalThis.customElements;
if (elements && !elements.get("holdfast-status")) elements.define("holdfast-status", HoldfastStatus);
