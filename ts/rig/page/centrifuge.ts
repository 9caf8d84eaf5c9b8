import { Centrifuge } from "centrifuge";
import type { Harness, Harnessed } from "./harness.ts";
import type { Message } from "./report.ts";

/** With recovery; all else is as it comes. */
export function centrifuge(harness: Harness): Harnessed {
  const { host, path, sessions } = harness.config;
  const client = new Centrifuge(`ws://${host}${path}`);
  for (const session of sessions) {
    const subscription = client.newSubscription(session, { recoverable: true, positioned: true });
    subscription.on("publication", ({ data }) => harness.got(session, data as Message));
    subscription.on("subscribed", () => harness.status("live"));
    subscription.subscribe();
  }
  client.on("connecting", () => harness.status("offline"));
  client.connect();
  return {};
}
