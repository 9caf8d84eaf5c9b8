import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import type { Backend } from "../backend.ts";
import { closed, listening } from "./http.ts";

/** A plain WebSocket server, which is all that partysocket asks for: a room is a path, and it is told everything. */
export async function partysocket(): Promise<Backend> {
  const http = createServer();
  const server = new WebSocketServer({ server: http });
  server.on("connection", (socket) => socket.on("error", () => {}));
  const port = await listening(http);
  return {
    port,
    path: "",
    async publish(session, messages) {
      for (const socket of server.clients) {
        for (const message of messages) socket.send(JSON.stringify({ session, ...message }));
      }
    },
    async stop() {
      for (const socket of server.clients) socket.terminate();
      await closed(http);
    },
  };
}
