import { createServer } from "node:http";
import { Server } from "socket.io";
import type { Backend } from "../backend.ts";
import { closed, listening } from "./http.ts";

/** The real server of socket.io with its default settings: a ping each 25 s, 20 s of patience. */
export async function socketio(): Promise<Backend> {
  const http = createServer();
  const io = new Server(http, { cors: { origin: "*" } });
  const port = await listening(http);
  return {
    port,
    path: "",
    async publish(session, messages) {
      for (const message of messages) io.emit("message", session, message);
    },
    async stop() {
      io.disconnectSockets(true);
      await closed(http);
    },
  };
}
