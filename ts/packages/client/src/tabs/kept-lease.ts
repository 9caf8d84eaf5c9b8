/** The latest lease lies where every tab sees it: a tab that comes need not wait for the next one to be told. */
import type { KeyValue } from "../env/env.ts";
import type { Lease } from "./messages.ts";

export function keepLease(storage: KeyValue, scope: string, lease?: Lease): void {
  storage.set(`${scope}:lease`, lease ? JSON.stringify(lease) : null);
}

export function keptLease(storage: KeyValue, scope: string): Lease | undefined {
  try {
    return (JSON.parse(storage.get(`${scope}:lease`) ?? "null") as Lease | null) ?? undefined;
  } catch {
    return undefined;
  }
}

/** How a dial goes on is no news to others, until it has succeeded or failed. */
export const isDialing = ({ welcome, state }: Lease) => !welcome && /dialing|attaching|live/.test(state.name);
