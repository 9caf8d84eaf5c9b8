import { createServer } from "node:http";
import { type WebSocket, WebSocketServer } from "ws";
import type { Backend } from "../backend.ts";
import type { Message } from "../page/report.ts";
import { closed, listening } from "./http.ts";

/** The defaults of Centrifugo: it pings each 25 s and expects an answer within 8 s. */
const PING = 25;
const PONG_PATIENCE = 8_000;
const EPOCH = "rig";

interface Command {
  readonly id?: number;
  readonly connect?: object;
  readonly subscribe?: { channel: string; recover?: boolean; epoch?: string; offset?: number };
}

/** A server that speaks the JSON protocol of centrifuge-js, with recovery and a history that forgets nothing. */
export async function centrifuge(): Promise<Backend> {
  const http = createServer();
  const channels = new Map<string, Message[]>();
  const history = (channel: string) => {
    const held = channels.get(channel) ?? [];
    channels.set(channel, held);
    return held;
  };
  const readers = new Map<WebSocket, Set<string>>();
  new WebSocketServer({ server: http }).on("connection", (socket) => serve(socket, readers, history));
  const port = await listening(http);
  return {
    port,
    path: "/connection/websocket",
    async publish(session, messages) {
      for (const data of messages) {
        const offset = history(session).push(data);
        const push = JSON.stringify({ push: { channel: session, pub: { data, offset } } });
        for (const [socket, reads] of readers) if (reads.has(session)) socket.send(push);
      }
    },
    async stop() {
      for (const socket of readers.keys()) socket.terminate();
      await closed(http);
    },
  };
}

function serve(socket: WebSocket, readers: Map<WebSocket, Set<string>>, history: (channel: string) => Message[]): void {
  const reads = new Set<string>();
  let patience: NodeJS.Timeout | undefined;
  const ping = setInterval(() => {
    socket.send("{}");
    patience = setTimeout(() => socket.close(3012, "no pong"), PONG_PATIENCE);
  }, PING * 1_000);
  socket.on("error", () => {});
  socket.on("close", () => {
    clearInterval(ping);
    clearTimeout(patience);
    readers.delete(socket);
  });
  socket.on("message", (data) => {
    for (const line of String(data).split("\n")) {
      const command = JSON.parse(line) as Command;
      if (command.id === undefined) {
        clearTimeout(patience);
        continue;
      }
      const reply = (body: object) => socket.send(JSON.stringify({ id: command.id, ...body }));
      if (command.connect) {
        readers.set(socket, reads);
        reply({ connect: { client: crypto.randomUUID(), version: "6.0.0", ping: PING, pong: true } });
      } else if (command.subscribe) {
        reads.add(command.subscribe.channel);
        reply({ subscribe: subscribed(command.subscribe, history(command.subscribe.channel)) });
      } else {
        reply({});
      }
    }
  });
}

function subscribed({ recover, offset = 0 }: NonNullable<Command["subscribe"]>, held: readonly Message[]): object {
  const position = { epoch: EPOCH, offset: held.length, recoverable: true, positioned: true };
  if (!recover) return position;
  const publications = held.slice(offset).map((data, i) => ({ data, offset: offset + i + 1 }));
  return { ...position, was_recovering: true, recovered: true, publications };
}
