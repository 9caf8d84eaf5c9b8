import { Socket } from "phoenix";
import type { Harness, Harnessed } from "./harness.ts";
import type { Message } from "./report.ts";

export function phoenix(harness: Harness): Harnessed {
  const { host, path, sessions } = harness.config;
  const socket = new Socket(`ws://${host}${path}`);
  socket.onOpen(() => harness.status("connected"));
  socket.onClose(() => harness.status("offline"));
  socket.connect();
  for (const session of sessions) {
    const channel = socket.channel(session);
    channel.on("message", (message) => harness.got(session, message as Message));
    channel.join().receive("ok", () => harness.status("live"));
  }
  return {};
}
