import { PartySocket } from "partysocket";
import type { Harness, Harnessed } from "./harness.ts";
import type { Message } from "./report.ts";

export function partysocket(harness: Harness): Harnessed {
  const socket = new PartySocket({ host: harness.config.host, room: "rig" });
  socket.addEventListener("open", () => harness.status("live"));
  socket.addEventListener("close", () => harness.status("offline"));
  socket.addEventListener("message", ({ data }: MessageEvent<string>) => {
    const { session, ...message } = JSON.parse(data) as Message & { session: string };
    harness.got(session, message);
  });
  return {};
}
