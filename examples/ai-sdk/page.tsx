import { HoldfastChatTransport } from "@holdfast/ai-sdk";
import { useHoldfastChat } from "@holdfast/ai-sdk/react";
import { Client } from "@holdfast/client";
import type { UIMessage } from "ai";
import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

declare global {
  interface Window {
    /** Where Holdfast is; the start script puts it into the page. */
    readonly HOLDFAST: string;
  }
}

const client = new Client({
  url: `${window.HOLDFAST.replace("http", "ws")}/v1/ws`,
  token: async () => (await fetch("/token", { method: "POST" })).text(),
});

const transport = new HoldfastChatTransport({ client });

client.connect();

/** The chat that the address names, such as /?chat=chat-7. */
const id = new URLSearchParams(location.search).get("chat") ?? "chat-1";

function App() {
  const { messages, status, error, sendMessage, regenerate, stop } = useHoldfastChat({ id, transport });
  const [text, setText] = useState("");
  const [line, setLine] = useState(client.status.state);
  useEffect(() => client.onStatus(({ state }) => setLine(state)), []);
  const answering = status === "submitted" || status === "streaming";
  return (
    <main data-status={status} data-line={line}>
      {messages.map((message) => (
        <Message key={message.id} message={message} />
      ))}
      {error && (
        <p role="alert">
          {error.message} <button onClick={() => void regenerate()}>Again</button>
        </p>
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (text.trim()) void sendMessage({ text });
          setText("");
        }}
      >
        <input value={text} onChange={(event) => setText(event.target.value)} placeholder="Say something" autoFocus />
        <button disabled={!text.trim()}>Send</button>
        <button type="button" id="stop" disabled={!answering} onClick={() => void stop()}>
          Stop
        </button>
        <small>{line}</small>
      </form>
    </main>
  );
}

function Message({ message }: { message: UIMessage }) {
  return (
    <article data-role={message.role}>
      {message.parts.map((part, i) => {
        if (part.type === "text") return <p key={i}>{part.text}</p>;
        if (part.type === "reasoning") return <blockquote key={i}>{part.text}</blockquote>;
        if (part.type.startsWith("tool-")) return <pre key={i}>{JSON.stringify(part, null, 1)}</pre>;
        return null;
      })}
    </article>
  );
}

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
}
