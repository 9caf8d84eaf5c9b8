/** What the AI SDK's own transports are sent for a resume, counted where a page would receive it. */
import {
  type ChatTransport,
  DefaultChatTransport,
  JsonToSseTransformStream,
  type UIMessage,
  type UIMessageChunk,
  WebSocketChatTransport,
} from "ai";

type WebSocketConstructor = NonNullable<ConstructorParameters<typeof WebSocketChatTransport>[0]["webSocket"]>;

export interface Resumed {
  /** The bytes of content that came: without TLS, HTTP headers and frame headers, as on Holdfast's side. */
  readonly bytes: number;
  readonly text: string;
  /** What the transport asked with. */
  readonly asked: string;
}

/** A server's end of the SDK's protocol, which has a stream so far and replays what it is asked for. */
function socketOf(chunks: readonly UIMessageChunk[], told: { bytes: number; asked: string }): WebSocketConstructor {
  class Socket extends EventTarget {
    readyState = 0;
    readonly protocol = "";

    constructor() {
      super();
      setTimeout(() => {
        this.readyState = 1;
        this.#tell("open", new Event("open"));
      });
    }

    send(text: string): void {
      told.asked = text;
      const { requestId, lastSequence = -1 } = JSON.parse(text) as { requestId: string; lastSequence?: number };
      const say = (frame: object) => {
        const data = JSON.stringify(frame);
        told.bytes += Buffer.byteLength(data);
        this.#tell("message", new MessageEvent("message", { data }));
      };
      setTimeout(() => {
        say({ type: "start", requestId });
        for (const [sequence, chunk] of chunks.entries())
          if (sequence > lastSequence) say({ type: "chunk", requestId, sequence, chunk });
        say({ type: "end", requestId });
      });
    }

    close(): void {
      this.readyState = 3;
      this.#tell("close", new Event("close"));
    }

    #tell(name: string, event: Event): void {
      this.dispatchEvent(event);
      (this as unknown as Record<string, ((event: Event) => void) | undefined>)[`on${name}`]?.(event);
    }
  }
  return Socket as unknown as WebSocketConstructor;
}

async function resume(transport: ChatTransport<UIMessage>, told: { bytes: number; asked: string }): Promise<Resumed> {
  const stream = await transport.reconnectToStream({ chatId: "chat" });
  let text = "";
  if (!stream) throw new Error("the transport does not resume");
  for (let reader = stream.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return { ...told, text };
    if (value.type === "text-delta") text += value.delta;
  }
}

/** WebSocketChatTransport: it asks without a place to go on from. */
export async function overWebSocket(chunks: readonly UIMessageChunk[]): Promise<Resumed> {
  const told = { bytes: 0, asked: "" };
  const transport = new WebSocketChatTransport({ url: "ws://server/chat", webSocket: socketOf(chunks, told) });
  const resumed = await resume(transport, told);
  transport.close();
  return resumed;
}

/** DefaultChatTransport: GET /api/chat/<id>/stream, answered by the stream as it was kept. */
export async function overHTTP(chunks: readonly UIMessageChunk[]): Promise<Resumed> {
  const told = { bytes: 0, asked: "" };
  const counted = new TransformStream<string, Uint8Array>({
    transform(text, controller) {
      const bytes = new TextEncoder().encode(text);
      told.bytes += bytes.length;
      controller.enqueue(bytes);
    },
  });
  const transport = new DefaultChatTransport({
    fetch: async (url, init) => {
      told.asked = `${init?.method ?? "GET"} ${String(url)}`;
      const source = new ReadableStream<UIMessageChunk>({
        start(controller) {
          for (const chunk of chunks) controller.enqueue(chunk);
          controller.close();
        },
      });
      const body = source.pipeThrough(new JsonToSseTransformStream()).pipeThrough(counted);
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    },
  });
  return resume(transport, told);
}
