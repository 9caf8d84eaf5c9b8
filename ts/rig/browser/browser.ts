/** A browser process of its own, and what a person or a machine does to it. */
export interface Browser {
  readonly kind: "chromium" | "firefox";
  open(url: string): Promise<Tab>;
  /** Stops all of its processes, as a machine that goes to sleep. */
  suspend(): void;
  resume(): void;
  close(): Promise<void>;
}

export interface Tab {
  /** Evaluates an expression in the page; its value must be JSON. Throws what the page throws. */
  ask<T>(expression: string): Promise<T>;
  /** Brings the tab to the front. Whatever was there is hidden. */
  show(): Promise<void>;
  navigate(url: string): Promise<void>;
  back(): Promise<void>;
  reload(): Promise<void>;
  close(): Promise<void>;
}
