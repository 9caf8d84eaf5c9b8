import { createServer } from "node:http";
import { type WebSocket, WebSocketServer } from "ws";
import type { Backend } from "../backend.ts";
import { closed, listening } from "./http.ts";

/** Phoenix closes a socket that said nothing for so long; clients send a heartbeat each 30 s. */
const IDLE = 60_000;

type Frame = [joinRef: string | null, ref: string | null, topic: string, event: string, payload: unknown];

/** A server that speaks version 2 of the protocol of Phoenix channels. */
export async function phoenix(): Promise<Backend> {
  const http = createServer();
  const joined = new Map<WebSocket, Map<string, string | null>>();
  new WebSocketServer({ server: http }).on("connection", (socket) => serve(socket, joined));
  const port = await listening(http);
  return {
    port,
    path: "/socket",
    async publish(session, messages) {
      for (const [socket, topics] of joined) {
        if (!topics.has(session)) continue;
        for (const message of messages) socket.send(JSON.stringify([null, null, session, "message", message]));
      }
    },
    async stop() {
      for (const socket of joined.keys()) socket.terminate();
      await closed(http);
    },
  };
}

function serve(socket: WebSocket, joined: Map<WebSocket, Map<string, string | null>>): void {
  const topics = new Map<string, string | null>();
  joined.set(socket, topics);
  const idle = setTimeout(() => socket.close(1000), IDLE);
  socket.on("error", () => {});
  socket.on("close", () => {
    clearTimeout(idle);
    joined.delete(socket);
  });
  socket.on("message", (data) => {
    idle.refresh();
    const [joinRef, ref, topic, event] = JSON.parse(String(data)) as Frame;
    const send = (frame: Frame) => socket.send(JSON.stringify(frame));
    if (event === "phx_join") topics.set(topic, joinRef);
    send([joinRef, ref, topic, "phx_reply", { status: "ok", response: {} }]);
    if (event === "phx_leave") {
      topics.delete(topic);
      send([joinRef, null, topic, "phx_close", {}]);
    }
  });
}
