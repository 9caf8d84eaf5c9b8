import type { Client, Member, Presence, Session } from "@holdfast/client";
import { useCallback, useRef } from "react";
import { hold } from "./held.ts";
import { useSelected } from "./selected.ts";

const all = <T>(whole: unknown) => whole as T;

const NOBODY: readonly Member[] = [];

/**
 * Who is there in a session, for as long as the component is mounted; `of` is presenceOf of the client's package, which a page
 * that does not use it need not carry. With `select`, the component renders again only when this part has changed.
 */
export function usePresence<T = readonly Member[]>(
  client: Client,
  id: string,
  of: (session: Session) => Presence,
  select: (members: readonly Member[]) => T = all<T>,
): T {
  const presence = useRef<Presence>(undefined);
  const subscribe = useCallback(
    (changed: () => void) => {
      const [session, release] = hold(client, id);
      presence.current = of(session);
      const stop = presence.current.subscribe(changed);
      return () => {
        stop();
        release();
        presence.current = undefined;
      };
    },
    [client, id, of],
  );
  return useSelected(subscribe, () => presence.current?.members ?? NOBODY, NOBODY, select);
}
