import { useRef, useSyncExternalStore } from "react";

/** Whether two values are the same, or lists of the same. */
export function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((it, i) => Object.is(it, b[i]));
}

/**
 * A part of what a store has. The component renders again only when this part has changed; `select` may be a new function
 * each time, and may make a new object or list each time if `equal` knows it again.
 */
export function useSelected<S, T>(
  subscribe: (changed: () => void) => () => void,
  now: () => S,
  onServer: S,
  select: (whole: S) => T,
  equal: (a: T, b: T) => boolean = same,
): T {
  const last = useRef<{ readonly whole: S; readonly select: (whole: S) => T; readonly part: T }>(undefined);
  const pick = (whole: S): T => {
    const before = last.current;
    if (before?.whole === whole && before.select === select) return before.part;
    const fresh = select(whole);
    const part = before && equal(before.part, fresh) ? before.part : fresh;
    last.current = { whole, select, part };
    return part;
  };
  return useSyncExternalStore(
    subscribe,
    () => pick(now()),
    () => pick(onServer),
  );
}
