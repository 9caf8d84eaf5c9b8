import { bfcache } from "./bfcache.ts";
import type { Case } from "./case.ts";
import { dialing } from "./dialing.ts";
import { frozen } from "./frozen.ts";
import { hidden } from "./hidden.ts";
import { network } from "./network.ts";
import { suspended } from "./suspended.ts";

/** The matrix, in the order of its numbers. */
export const CASES: readonly Case[] = [...hidden, ...frozen, ...bfcache, ...suspended, ...dialing, ...network].sort(
  (a, b) => a.id - b.id,
);
