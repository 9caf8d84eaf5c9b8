import { io } from "socket.io-client";
import type { Harness, Harnessed } from "./harness.ts";
import type { Message } from "./report.ts";

/** With the WebSocket alone, as where several servers stand behind a balancer; all else is as it comes. */
export function socketio(harness: Harness): Harnessed {
  const socket = io(`http://${harness.config.host}`, { transports: ["websocket"] });
  socket.on("connect", () => harness.status("live"));
  socket.on("disconnect", () => harness.status("offline"));
  socket.on("message", (session: string, message: Message) => harness.got(session, message));
  return {};
}
