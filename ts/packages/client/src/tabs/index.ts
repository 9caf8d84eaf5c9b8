import { Connection } from "../connection.ts";
import { browserSiblings, type Siblings } from "../env/siblings.ts";
import type { LinkFactory } from "../link.ts";
import { TabsLink } from "./tabs-link.ts";

export type { Channel, LockEvents, Siblings } from "../env/siblings.ts";

export interface TabsOptions {
  /**
   * - auto: one connection for all tabs of a desktop browser; on phones, which freeze hidden pages, each tab has its own.
   * - leader: one for all tabs, on phones too.
   * - own: each tab has its own.
   *
   * Where the browser has no Web Locks, no BroadcastChannel or no localStorage, each tab has its own in every mode.
   */
  readonly mode?: "auto" | "leader" | "own";
  /**
   * Who is signed in, as the server names the user. Default: the `sub` of the token. Tabs of different users share nothing,
   * nor does a tab whose user is not known. Giving it saves a new tab the asking for a token of its own.
   */
  readonly user?: string;
  /** What the tabs have between them, for tests. */
  readonly siblings?: Siblings;
}

/** One connection for all tabs of a browser: one of them leads and has it, the others follow. */
export function tabs({ mode = "auto", user, siblings = browserSiblings() }: TabsOptions = {}): LinkFactory {
  return (parts) => {
    const shares = mode === "leader" || (mode === "auto" && !parts.env.mobile);
    return shares && siblings.usable ? new TabsLink(parts, siblings, user) : new Connection(parts);
  };
}
