import { auth } from "./auth.ts";
import { bfcache } from "./bfcache.ts";
import type { Case } from "./case.ts";
import { dialing } from "./dialing.ts";
import { fallback } from "./fallback.ts";
import { frozen } from "./frozen.ts";
import { hidden } from "./hidden.ts";
import { log } from "./log.ts";
import { network } from "./network.ts";
import { suspended } from "./suspended.ts";
import { tabs } from "./tabs.ts";

const groups = [hidden, frozen, bfcache, suspended, dialing, network, auth, log, tabs, fallback];

/** The matrix, in the order of its numbers. */
export const CASES: readonly Case[] = groups.flat().sort((a, b) => a.id - b.id);
