import type { ClientOptions } from "@holdfast/client";
import type { OursConfig } from "./report.ts";

/** The parts of the client that an application may add. */
export function optional(_: OursConfig): Partial<ClientOptions> {
  return {};
}
