import type { Lease } from "./messages.ts";

/** How a dial goes on is no news to others, until it has succeeded or failed. */
export const isDialing = ({ welcome, state }: Lease) => !welcome && /dialing|attaching|live/.test(state.name);

/** A lease as it is kept, if it is one. */
export function parse(text: string | null): Lease | undefined {
  try {
    return (JSON.parse(text ?? "null") as Lease | null) ?? undefined;
  } catch {
    return undefined;
  }
}
