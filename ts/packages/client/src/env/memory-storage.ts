import type { KeyValue } from "./env.ts";

/** Storage that does not outlive the page: for where there is none, or it is full or forbidden. */
export function memoryStorage(): KeyValue {
  const held = new Map<string, string>();
  return {
    lasts: "page",
    get: (key) => held.get(key) ?? null,
    set: (key, value) => {
      if (value === null) held.delete(key);
      else held.set(key, value);
    },
  };
}
